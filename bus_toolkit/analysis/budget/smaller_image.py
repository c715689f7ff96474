"""How large an image may be so that a model costs no more than another one: the baseline of fewer pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bus_toolkit.analysis.budget.costs import Costs, giga
from bus_toolkit.analysis.budget.plan import Plan
from bus_toolkit.analysis.meta_macs import MacCounter, frame_of
from bus_toolkit.errors import ConfigError

Node = dict[str, Any]


def smaller_image(model: Node, budget: int, counter: MacCounter, *, nearest: bool = False) -> Plan:
    """Find the largest image, below its own size, with which ``model`` needs at most ``budget`` MACs.

    Sides are whole patches of the same size, and keep the proportions as well as these allow: between two squares lies
    an image with one more row or column than the other way. The pixels of ``shrink_data`` fit to it.

    Args:
        model: The ``model`` part of a config at its full size, as a rule without selectors; everything else stays.
        budget: MACs an image.
        counter: Counts them.
        nearest: Whether the next larger size that all parts accept is taken where its cost is nearer to the budget.

    Returns:
        The plan; its ``changes`` set ``model.backbone.img_size``, one number for a square, else height and width.

    Raises:
        ConfigError: The full size costs less than the budget, or the smallest that all parts accept costs more.
        ComponentError: A part that refuses its arguments.
    """
    # At the full size the decoder may fit, and at a smaller one have too few tokens.
    frame = frame_of({**model, "decoder": {"type": "Identity"}})
    grids = [*_grids(frame.grid), frame.grid]
    patch = tuple(pixels // count for pixels, count in zip(frame.image_size, frame.grid, strict=True))

    def size(step: int) -> Any:
        rows, columns = grids[step - 1]
        height, width = rows * patch[0], columns * patch[1]
        return height if height == width else [height, width]

    def at_size(step: int) -> Node:
        return {**model, "backbone": {**model["backbone"], "img_size": size(step)}}

    costs = Costs(lambda step: counter.macs(at_size(step)), budget)
    step = _largest(costs, budget, len(grids))
    if nearest:
        step = _nearer(costs, budget, step, len(grids))
    rows, columns = grids[step - 1]
    return Plan(at_size(step), {"model.backbone.img_size": size(step)}, rows * columns, costs.of(step))


def _largest(costs: Costs, budget: int, last: int) -> int:
    if costs.of(last) == budget:
        return last
    if costs.of(last) < budget:
        raise ConfigError(
            f"budget: the full image takes {giga(costs.of(last))}, less than the {giga(budget)} of the reference. "
            "Choose a cheaper reference; the image need not be smaller here."
        )
    step = costs.most(last)
    # A size that a part refuses, such as one that its windows do not tile, is passed over.
    while step and step in costs.refused:
        step -= 1
        if step and step not in costs.refused:
            costs.is_too_much(step)
    if not step:
        raise ConfigError(
            f"budget: no smaller image fits into the {giga(budget)} of the reference. Choose a costlier reference, or "
            "a decoder that needs fewer tokens."
        ) from next(iter(costs.refused.values()), None)
    return step


def _nearer(costs: Costs, budget: int, step: int, last: int) -> int:
    """Return ``step`` or the next larger one that all parts accept, whichever cost is nearer to the budget."""
    for larger in range(step + 1, last + 1):
        is_too_much = costs.is_too_much(larger)  # which also notes the steps that are refused
        if larger not in costs.refused:
            return larger if is_too_much and costs.of(larger) - budget < budget - costs.of(step) else step
    return step


def _grids(full: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield rows and columns of smaller grids of the same proportions, by their number of patches."""
    rows, columns = full
    found: dict[int, tuple[float, tuple[int, int]]] = {}
    for row in range(1, rows + 1):
        exact = row * columns / rows
        for column in {max(1, int(exact)), min(columns, int(exact) + 1)}:
            stretch = max(row * columns, column * rows) / min(row * columns, column * rows)
            number = row * column
            if number < rows * columns:
                found[number] = min(found.get(number, (stretch, (row, column))), (stretch, (row, column)))
    yield from (found[number][1] for number in sorted(found))
