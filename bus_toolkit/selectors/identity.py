"""The selector that keeps everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView


class IdentitySelector(PatchSelector):
    """Keep every patch (``Identity``): the place of a selector without its effect.

    Args:
        blocks: Backbone blocks after which it acts, counted from 1.
    """

    ranks: ClassVar[bool] = False

    def __init__(self, *, blocks: Sequence[int]) -> None:
        super().__init__(blocks=blocks, keep_ratio=1.0)

    def score(self, view: BlockView) -> Tensor:
        """Return equal scores (B, N)."""
        return view.patches.new_zeros(view.patches.shape[:2])
