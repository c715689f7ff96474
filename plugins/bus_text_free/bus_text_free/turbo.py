"""Turbo: merging that spares what the CLS token attends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from bus_text_free.tome import ToMeSelector
from bus_toolkit.selectors import BlockView

# The factor of the attention in the published code.
_SCALE = 30.0


class TurboSelector(ToMeSelector):
    """Merge pairs that are alike and unimportant: ``cos(k_a, k_b) - 30 alpha beta^|gamma - l| a_cls(a)`` (``Turbo``).

    arXiv 2407.11717; the edge score is read from anakin-skywalker-Joseph/Turbo:Code-BLIP/turbo/merge.py. ``l`` is the
    block's number from 0. With ``alpha`` 0 it is ToMe. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        num_merged: As in ``ToMe``.
        keep_ratio: As in ``ToMe``.
        proportional: As in ``ToMe``.
        alpha: Weight of the attention.
        beta: How fast it fades away from block ``gamma``, in (0, 1].
        gamma: Block, from 0, where it weighs most.

    Raises:
        ValueError: A negative ``alpha`` or a ``beta`` outside (0, 1].
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        num_merged: int | None = None,
        keep_ratio: float | Mapping[str, Any] = 0.9,
        proportional: bool = True,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: int = 0,
    ) -> None:
        super().__init__(blocks=blocks, num_merged=num_merged, keep_ratio=keep_ratio, proportional=proportional)
        if alpha < 0 or not 0.0 < beta <= 1.0:
            raise ValueError(f"alpha and beta: must be 0 or more and in (0, 1], got {alpha} and {beta}.")
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def edges(self, view: BlockView) -> Tensor:
        """Return redundancy minus semantic value (B, A, C)."""
        weight = _SCALE * self.alpha * self.beta ** abs(self.gamma - (view.block - 1))
        value = view.inside.cls_attention()[:, 1::2]
        return super().edges(view) - weight * value.unsqueeze(2)
