"""The selector that keeps an even pattern of patches."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bus_toolkit.ops.even_cells import even_cells
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView


class UniformGridSelector(PatchSelector):
    """Keep patches that are spread evenly over the image (``UniformGrid``): a baseline that looks at nothing.

    The grid is cut into as many cells of about the same size as patches are kept, and the centre of each stays: every
    second row and column for a quarter, every third for a ninth, and exactly the share of any other ratio. The pattern
    is the same for all images. It covers the image better than ``Random`` does. How cells are cut is our choice
    (``ops.even_cells``).

    Goes into ``model.selectors``, at one block, and no other selector may come before it.
    """

    ranks: ClassVar[bool] = False
    needs_whole_grid: ClassVar[bool] = True

    def score(self, view: BlockView) -> Tensor:
        """Return 1 for the patches of the pattern and 0 for the others, (B, N)."""
        _, centres_K = even_cells(view.grid, self.num_kept(view), view.patches.device)
        scores_BN = view.patches.new_zeros(view.patches.shape[:2], dtype=at_least_float32_dtype(view.patches))
        return scores_BN.index_fill(1, centres_K, 1.0)
