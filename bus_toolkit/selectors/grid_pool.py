"""The selector that pools neighbouring patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bus_toolkit.ops.even_cells import even_cells
from bus_toolkit.ops.make_plans import merge_plan
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision


class GridPoolSelector(PatchSelector):
    """Merge the patches of each cell of a coarser grid into their mean (``GridPool``): average pooling.

    A quarter is 2 x 2 average pooling. Any other ratio gives exactly its number of cells, of about the same size, which
    do not overlap (``ops.even_cells``, our choice). A merged token has the position of the patch at the centre of its
    cell, and counts as one key in later attention. In the comparison of arXiv 2502.11501 pooling is a baseline that few
    methods beat.

    Goes into ``model.selectors``, at one block, and no other selector may come before it.

    Args:
        blocks: The backbone block after which it acts, counted from 1, in a list.
        keep_ratio: Tokens left, as a share of the patches, in (0, 1]; a number or a schedule.
    """

    ranks: ClassVar[bool] = False
    needs_whole_grid: ClassVar[bool] = True

    def __init__(self, *, blocks: Sequence[int], keep_ratio: float | Mapping[str, Any] = 0.25) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)

    def forward(self, view: BlockView) -> Decision:
        """Plan the merging; the scores are the sizes before it, and rank nothing."""
        cells_N, centres_K = even_cells(view.grid, self.num_kept(view), view.patches.device)
        sizes_BN = view.sizes()
        batch = sizes_BN.shape[0]
        plan = merge_plan(centres_K.expand(batch, -1), cells_N.expand(batch, -1), sizes_BN)
        return Decision(plan, sizes_BN)
