"""How many tokens selectors leave, known from their settings before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import shapes_alone


def fewest_tokens(selectors: Iterable[PatchSelector], grid: tuple[int, int]) -> int:
    """Return the fewest tokens after the prefix that leave the backbone, at any time of the schedules of keep ratios.

    All selectors count, one after the other, each by its ``num_left``. One whose number depends on what it sees is
    taken to leave all tokens.

    Args:
        selectors: Those of a backbone; they are not changed.
        grid: Rows and columns of patches.
    """
    selectors = list(selectors)
    # A ratio moves in one direction from the start to the end of its schedule.
    epochs = {0.0, *(selector.schedule.epochs for selector in selectors)}
    return min(_tokens_at(epoch, selectors, grid) for epoch in epochs)


def _tokens_at(epoch: float, selectors: list[PatchSelector], grid: tuple[int, int]) -> int:
    parts = [copy.copy(selector) for selector in selectors]
    for part in parts:
        part.set_progress(epoch)
    count = grid[0] * grid[1]
    # A block holds one selector, so that the blocks alone are the order.
    of_block = {block: part for part in parts for block in part.blocks}
    for block in sorted(of_block):
        try:
            count = of_block[block].num_left(shapes_alone(block, count, grid))
        except Exception:  # noqa: BLE001 (whatever a part raises that asks for more than shapes)
            continue
    return count
