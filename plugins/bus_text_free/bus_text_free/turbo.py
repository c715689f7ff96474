"""Turbo: merging that spares what the CLS token attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus_text_free.tome import merge_pairs
from bus_toolkit.ops import bipartite_halves, similarity_of_halves
from bus_toolkit.selectors import BlockView, MergingSelector
from bus_toolkit.structures import Decision

# The factor of the attention in the published code.
_SCALE = 30.0


class TurboSelector(MergingSelector):
    """Merge pairs that are alike and unimportant: ``cos(k_a, k_b) - 30 alpha beta^|gamma - l| a_cls(a)`` (``Turbo``).

    arXiv 2407.11717; the edge score is read from anakin-skywalker-Joseph/Turbo:Code-BLIP/turbo/merge.py. ``l`` is the
    block's number from 0; there the merging blocks alone count. With ``alpha`` 0 it is ToMe, and the order of what
    comes out is always ToMe's. Equal to its code over one merge, and to a slow version over three blocks of whole
    backbones. Without a class token, the attention that a patch receives replaces that of the class token (ours).
    Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        alpha: Weight of the attention.
        beta: How fast it fades away from block ``gamma``, in (0, 1].
        gamma: Block, from 0, where it weighs most.
        merging: The other arguments of ``MergingSelector``.

    Raises:
        ValueError: A negative ``alpha`` or a ``beta`` outside (0, 1].
    """

    def __init__(
        self, *, blocks: Sequence[int], alpha: float = 1.0, beta: float = 1.0, gamma: int = 0, **merging: Any
    ) -> None:
        super().__init__(blocks=blocks, **merging)
        if alpha < 0 or not 0.0 < beta <= 1.0:
            raise ValueError(f"alpha and beta: must be 0 or more and in (0, 1], got {alpha} and {beta}.")
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def forward(self, view: BlockView) -> Decision:
        """Plan the merging by redundancy minus semantic value; the scores are the sizes before it."""
        weight = _SCALE * self.alpha * self.beta ** abs(self.gamma - (view.block - 1))
        num_prefix = view.prefix.shape[1]
        # Only the first set of tokens is merged away, so only its value counts: (B, A).
        value_BA = view.inside.cls_attention()[:, bipartite_halves(num_prefix)[0]]
        redundancy_BAC = similarity_of_halves(view.inside.keys().mean(dim=2), num_prefix=num_prefix)
        return merge_pairs(self, view, redundancy_BAC - weight * value_BA.unsqueeze(2))
