"""Selectors for these tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.ops import share_of_mass
from bus_toolkit.selectors import BlockView, PatchSelector


class ByPlace(PatchSelector):
    """Scores that depend on the place alone: the same whatever the text, and with or without a cache."""

    @override
    def score(self, view: BlockView) -> Tensor:
        places = torch.rand(view.num_original, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        # (B, M) -> (B, N): each candidate the score of the first original patch in it.
        scores = torch.full(view.patches.shape[:2], -1.0, dtype=torch.float64)
        kept = view.origin >= 0
        return scores.scatter_reduce(
            1, view.origin.clamp(min=0), places.expand_as(view.origin).masked_fill(~kept, -1.0), "amax"
        )


class ByText(PatchSelector):
    """The last word's attention (FastV)."""

    reads_block = True

    @override
    def score(self, view: BlockView) -> Tensor:
        return view.inside.text_attention()


class ByWords(PatchSelector):
    """The mean of all words' attention."""

    reads_block = True

    @override
    def score(self, view: BlockView) -> Tensor:
        return view.inside.word_attention()


class ByEveryone(PatchSelector):
    """The attention that a token receives from all."""

    reads_block = True

    @override
    def score(self, view: BlockView) -> Tensor:
        return view.inside.attention_received()


class ByClassToken(PatchSelector):
    """The class token's attention (EViT), fusing the rest by it where asked to."""

    reads_block = True

    @override
    def score(self, view: BlockView) -> Tensor:
        return view.inside.cls_attention()

    @override
    def fuse_weights(self, scores: Tensor) -> Tensor:
        return scores


class ByShare(ByText):
    """As many tokens as hold a share of the last word's attention: another number in each row."""

    @override
    def marked(self, scores: Tensor) -> Tensor:
        return share_of_mass(scores, self.keep_ratio)

    @override
    def num_kept(self, view: BlockView) -> int:
        return view.patches.shape[1]


class Learned(PatchSelector):
    """A linear score of features and attention whose weights in a fused token learn."""

    reads_block = True

    def __init__(self, width: int, **settings: Any) -> None:
        super().__init__(fuse="normalized", **settings)
        self.head = nn.Linear(width, 1)

    @override
    def score(self, view: BlockView) -> Tensor:
        return self.head(view.patches).squeeze(-1).tanh() + 3 * view.inside.text_attention()

    @override
    def fuse_weights(self, scores: Tensor) -> Tensor:
        return scores.sigmoid()
