"""Encoded images that can be searched many times.

Dims: I images, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.evaluation.retrieval.device_memory import DEFAULT_GIB, DeviceMemory
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.inference.inputs import ImageInput
from bus_toolkit.inference.predictor import Predictor


def _no_tokens() -> ImageTokens:
    return ImageTokens("Inferencer.retrieve.rerank")


@dataclass(repr=False)
class ImageIndex:
    """Encoded images that can be searched many times; made by ``Inferencer.index``.

    Attributes:
        names: The name of each image in results: its path, or ``image <position>``.
        feats: float32 or float64 (I, E) on the CPU, features that no text touched, of length 1.
        tokens: Tokens before the first selector by position, for re-ranking; empty if it is not wanted.
    """

    names: list[str] = field(default_factory=list)
    feats: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    tokens: ImageTokens = field(default_factory=_no_tokens)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        predictor: Predictor,
        images: list[ImageInput],
        *,
        keep_tokens: bool,
        device_memory: float = DEFAULT_GIB,
    ) -> ImageIndex:
        """Encode images.

        Args:
            predictor: The model and the pipeline.
            images: One or more.
            keep_tokens: Keep the tokens for re-ranking.
            device_memory: GiB of them that stay on the device; those beyond wait on the CPU.

        Raises:
            ConfigError: A negative memory.
            DataError: An image that cannot be used.
        """
        memory = DeviceMemory(device_memory, owner="Inferencer.index.device_memory")
        index = cls(tokens=ImageTokens("Inferencer.retrieve.rerank", memory))
        for chunk, batch in predictor.batches(images):
            index.add(predictor.model, batch, [image.name for image in chunk], keep_tokens=keep_tokens)
        return index

    def __repr__(self) -> str:
        """Return how much it holds."""
        tokens = "with" if len(self.tokens) else "without"
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
        images = model.data_preprocessor(batch, False)["images"]
        if keep_tokens:
            shared = self.tokens.encode(model, images, range(len(self), len(self) + len(names)))
        else:
            shared = model.encoders.encode_shared(images)
        visual = model.encoders.encode_reduced(shared, model.encoders.free_text(len(names)))
        feats = need_head(model.heads, ITCHead, "an index").image_feats(visual).cpu()
        self.feats = torch.cat([self.feats, feats]) if self.names else feats
        self.names += names
