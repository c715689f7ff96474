"""ToMe: similar tokens are merged, inside every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from bus_toolkit.ops import bipartite_merge_plan, carry_weights, similarity_of_halves
from bus_toolkit.selectors import BlockView, PatchSelector, Site
from bus_toolkit.structures import Decision


class ToMeSelector(PatchSelector):
    """Merge the most similar pairs of patches by bipartite matching of their keys (``ToMe``).

    arXiv 2210.09461, section 3; written from the description, since the published code may not be reused. Keys are
    averaged over the heads; merged tokens are means weighted by the patches that they stand for, and with
    ``proportional`` count as many keys in later attention. No parameters; works on a trained transformer as it is. Goes
    into ``model.selectors``, usually at every block.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        num_merged: Tokens merged away in each block, 0 or more; at most half of those present.
        keep_ratio: In place of ``num_merged``: share of the candidates left after a block, in (0, 1], or a schedule;
            one block can at most halve them.
        proportional: Whether sizes act in attention.

    Raises:
        ValueError: A negative ``num_merged``.
    """

    site: ClassVar[Site] = "inside_block"
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        num_merged: int | None = None,
        keep_ratio: float | Mapping[str, Any] = 0.9,
        proportional: bool = True,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if num_merged is not None and num_merged < 0:
            raise ValueError(f"num_merged: must be 0 or more tokens, got {num_merged}.")
        self.num_merged = num_merged
        self.proportional = proportional

    def edges(self, view: BlockView) -> Tensor:
        """Return how much each token of the first set wants each one of the second, (B, A, C)."""
        return similarity_of_halves(view.inside.keys().mean(dim=2))

    def num_kept(self, view: BlockView) -> int:
        """Return how many tokens are left."""
        present = view.patches.shape[1]
        left = super().num_kept(view) if self.num_merged is None else present - self.num_merged
        return max(left, present - present // 2)

    def forward(self, view: BlockView) -> Decision:
        """Plan the merging; the scores are the sizes before it, and rank nothing."""
        sizes = view.sizes()
        count = view.patches.shape[1] - self.num_kept(view)
        plan = bipartite_merge_plan(self.edges(view), count, sizes)
        if self.proportional and not plan.is_identity:
            plan = replace(plan, key_weights=carry_weights(sizes, plan))
        return Decision(plan, sizes)
