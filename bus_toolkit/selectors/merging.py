"""What selectors share that merge tokens inside every block: how many, and whether merged tokens count as several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from bus_toolkit.ops.follow_plans import carry_weights
from bus_toolkit.ops.make_plans import num_kept
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView

_SHARE = 0.9


class MergingSelector(PatchSelector):
    """Base of selectors that merge a fixed number or a share of the tokens inside each block.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        num_merged: Tokens merged away in each block, 0 or more; at most half of those present.
        keep_ratio: In place of ``num_merged``: share of the candidates left after a block, in (0, 1], or a schedule;
            one block can at most halve them.
        proportional: Whether the sizes of merged tokens act in later attention.

    Raises:
        ValueError: A negative ``num_merged``, or one beside a ``keep_ratio``.
    """

    site: ClassVar[Site] = "inside_block"
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        num_merged: int | None = None,
        keep_ratio: float | Mapping[str, Any] = _SHARE,
        proportional: bool = True,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if num_merged is not None and num_merged < 0:
            raise ValueError(f"num_merged: must be 0 or more tokens, got {num_merged}.")
        if num_merged is not None and keep_ratio != _SHARE:
            raise ValueError(
                "num_merged: must be null beside keep_ratio, since both say how many tokens are left, got "
                f"{num_merged} and {keep_ratio}. Give one of them."
            )
        self.num_merged = num_merged
        self.proportional = proportional

    @override
    @contextmanager
    def at_keep_ratio(self, keep_ratio: float) -> Iterator[None]:
        number, self.num_merged = self.num_merged, None
        try:
            with super().at_keep_ratio(keep_ratio):
                yield
        finally:
            self.num_merged = number

    def num_kept(self, view: BlockView) -> int:
        """Return how many tokens are left."""
        present = view.patches.shape[1]
        left = num_kept(present, self.keep_ratio) if self.num_merged is None else present - self.num_merged
        # Tokens merge in pairs, so that one block removes at most half of them.
        return max(left, present - present // 2)

    def weigh(self, plan: TokenPlan, sizes: Tensor) -> TokenPlan:
        """Return the plan, with ``proportional`` so that a merged token counts as several keys in later attention.

        Args:
            plan: The merging.
            sizes: How many patches were merged into each token before it, (B, N).
        """
        if not self.proportional or plan.is_identity:
            return plan
        return replace(plan, key_weights=carry_weights(sizes, plan))
