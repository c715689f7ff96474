"""Encoded images that can be searched many times.

Dims: I images, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.evaluation.retrieval.pair_scoring import PrefixCache
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.inference.inputs import ImageInput
from bus_toolkit.inference.predictor import Predictor


def _new_cache() -> PrefixCache:
    return PrefixCache("Inferencer.retrieve.rerank")


@dataclass(repr=False)
class ImageIndex:
    """Encoded images that can be searched many times; made by ``Inferencer.index``.

    Attributes:
        names: The name of each image in results: its path, or ``image <position>``.
        feats: float32 (I, E) on the CPU, features that no text touched, of length 1.
        prefixes: Tokens before the first selector by position, for re-ranking; empty if it is not wanted.
    """

    names: list[str] = field(default_factory=list)
    feats: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    prefixes: PrefixCache = field(default_factory=_new_cache)

    @classmethod
    @torch.no_grad()
    def of(cls, predictor: Predictor, images: list[ImageInput], *, keep_tokens: bool) -> ImageIndex:
        """Encode images; ``keep_tokens`` keeps the tokens for re-ranking.

        Raises:
            DataError: An image that cannot be used.
        """
        index = cls()
        for chunk, batch in predictor.batches(images):
            index.add(predictor.model, batch, [image.name for image in chunk], keep_tokens=keep_tokens)
        return index

    def __repr__(self) -> str:
        """Return how much it holds."""
        tokens = "with" if self.prefixes.ids() else "without"
        return f"ImageIndex({len(self)} images, features of width {self.feats.shape[1]}, {tokens} tokens to re-rank)"

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def add(self, model: Any, batch: dict[str, Any], names: Sequence[str], *, keep_tokens: bool) -> None:
        """Encode a batch whose ``image_id`` are the next positions.

        Args:
            model: A model with an ITC head.
            batch: As a data loader gives it.
            names: Of its images.
            keep_tokens: Keep the tokens for re-ranking.
        """
        cache = self.prefixes if keep_tokens else _new_cache()
        cache.add_batch(model, batch)
        positions = list(range(len(self), len(self) + len(names)))
        prefix = cache.take(positions, next(model.parameters()).device)
        visual = model.encoders.encode_visual(prefix, model.encoders.free_text(len(names)))
        feats = need_head(model.heads, ITCHead, "an index").image_feats(visual).cpu()
        self.feats = torch.cat([self.feats, feats]) if self.names else feats
        self.names += names
