"""The image side of a model as one module: images, and what is read of a text, to visual tokens.

Shapes: B images, L words, D width of the text, N patches, V visual tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.parts import decode_visual
from bus_toolkit.structures import TextTokens

TEXT_INPUTS = ("text_embeds", "text_pooled", "text_mask")


class Shape(NamedTuple):
    """Of inputs to make up: images, and the words of a text."""

    batch: int
    length: int


class ImageSide(nn.Module):
    """Backbone with its selectors, then the decoder, at the keep ratios that the model has now.

    Args:
        model: In eval mode.
        reads: Which of ``TEXT_INPUTS`` come in; none is the pass without a text.
        prunes: Whether selectors act; without them it is the same model, unpruned.

    Raises:
        ConfigError: The model's image side is no module of its own.
    """

    def __init__(self, model: VLPModel, reads: Sequence[str] = (), *, prunes: bool = True) -> None:
        super().__init__()
        self.encoders: Encoders = model.encoders
        _check(self.encoders)
        # Registered, so that an export holds these weights and none of the other parts.
        self.backbone, self.decoder = model.backbone, model.decoder
        self.reads, self.prunes = tuple(reads), prunes
        text_encoder: Any = model.text_encoder
        self.text_width: int = text_encoder.embed_dim
        free = None if self.reads else self.encoders.free_text(1)
        parts = (None, None, None) if free is None else (free.embeds, free.pooled, free.attention_mask)
        for name, part in zip(TEXT_INPUTS, parts, strict=True):
            self.register_buffer(f"free_{name}", part, persistent=False)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return ["images", *self.reads]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order; a third one marks tokens that hold nothing, where there can be such."""
        return ["tokens", "kept", "unread"]

    def forward(self, images: Tensor, *text: Tensor) -> tuple[Tensor, ...]:
        """Return tokens (B, V, D), which patches stay as tokens of their own, bool (B, N), and which tokens are unread.

        Args:
            images: Normalised floats (B, 3, H, W).
            text: What ``reads`` names.
        """
        shared = self.encoders.encode_shared(images)
        words = self._words(images, dict(zip(self.reads, text, strict=True)))
        if self.prunes:
            visual = self.encoders.encode_reduced(shared, words)
        else:
            full = self.backbone.forward_conditioned(shared, words, select="none")
            visual = decode_visual(self.decoder, full, words)
        outputs = (visual.embeds, visual.kept_patches())
        return outputs if visual.unread is None else (*outputs, visual.unread)

    def _words(self, images: Tensor, given: dict[str, Tensor]) -> TextTokens | None:
        batch = images.shape[0]
        if not self.reads:
            free: Any = [getattr(self, f"free_{name}") for name in TEXT_INPUTS]
            return None if free[0] is None else TextTokens(*(part.expand(batch, *part.shape[1:]) for part in free))
        # What does not come in is not read; it must only be there, in the right shape.
        pooled = given.get("text_pooled")
        nothing = images.new_zeros(batch, 1, self.text_width) if pooled is None else pooled.unsqueeze(1)
        embeds = given.get("text_embeds", nothing)
        mask = given.get("text_mask")
        mask = embeds.new_ones(embeds.shape[:2], dtype=torch.bool) if mask is None else mask
        return TextTokens(embeds, embeds[:, 0] if pooled is None else pooled, mask)

    def made_up(self, shape: Shape, seed: int = 0) -> tuple[Tensor, ...]:
        """Return inputs to trace or to compare with, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        height, width = self.backbone.image_size

        def numbers(*sizes: int) -> Tensor:
            return torch.randn(*sizes, generator=generator)

        made = {"text_embeds": numbers(shape.batch, shape.length, self.text_width)}
        made["text_pooled"] = numbers(shape.batch, self.text_width)
        made["text_mask"] = torch.arange(shape.length) < torch.randint(
            1, shape.length + 1, (shape.batch, 1), generator=generator
        )
        return numbers(shape.batch, 3, height, width), *(made[name] for name in self.reads)


def _check(encoders: Encoders) -> None:
    if encoders.stream is not None:
        raise ConfigError(
            "export: model.fusion: the image side must be a module of its own, got SingleStreamFusion, whose blocks "
            "read words and patches together. Export a model of another fusion."
        )
    if encoders.backbone.needs_boxes:
        raise ConfigError(
            "export: model.selectors: a selector reads the boxes that a text names, which an image to serve does not "
            "have. Export a model of another selector."
        )
