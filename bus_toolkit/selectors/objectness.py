"""The selector that learns from boxes without reading the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bus_toolkit.selectors.base import Fuse, PatchSelector
from bus_toolkit.selectors.text_scorer import patch_logits
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import LearnsFrom


class ObjectnessSelector(PatchSelector):
    """Score how much each patch looks like an object, and keep the best (``Objectness``).

    The network of ``TSPS`` without the text: linear layers of widths D -> D -> D/2 -> 1 with GELU on the
    layer-normalised patch. ``PatchTextHead`` trains it on the boxes of all objects of an image, whatever the text
    names. It is our baseline, from no source: what it reaches by boxes is not to be credited to the text.

    Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks after which it acts, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        keep_ratio: Share of the patches kept, in (0, 1], or a schedule.
        fuse: ``normalized``, ``raw`` or ``none``.
        detach_fused: Whether the fused token's weights carry no gradient to the scorer.
    """

    supervised: ClassVar[bool] = True
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.OBJECTS

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int,
        keep_ratio: float | Mapping[str, Any] = 0.5,
        fuse: Fuse = "normalized",
        detach_fused: bool = False,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)
        self.embed_dim = embed_dim
        self.detach_fused = detach_fused
        self.norm = nn.LayerNorm(embed_dim)
        self.patch_in = nn.Linear(embed_dim, embed_dim)
        self.hidden = nn.Linear(embed_dim, embed_dim // 2)
        self.out = nn.Linear(embed_dim // 2, 1)

    def score(self, view: BlockView) -> Tensor:
        """Return logits (B, N) of "this patch belongs to an object"."""
        return patch_logits(self, self.patch_in(self.norm(view.patches)))

    def fuse_weights(self, scores: Tensor) -> Tensor:
        """Weigh each patch of the fused token by its probability."""
        return torch.sigmoid(scores.detach() if self.detach_fused else scores)
