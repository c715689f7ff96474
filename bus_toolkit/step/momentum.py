"""What the momentum model makes of a batch: each pass is run when a head first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from torch import Tensor, nn

from bus_toolkit.step.batch import Batch
from bus_toolkit.step.pass_key import Hidden
from bus_toolkit.step.texts import Texts
from bus_toolkit.structures import FusedTokens, TextTokens, TokenBatch, VisualTokens


class MomentumModel(Protocol):
    """Slowly moving copies of a model's parts; nothing that they return has gradient."""

    trust: float

    @property
    def selects(self) -> bool:
        """Whether the text selects the patches of the copies' images."""

    @property
    def projections(self) -> nn.Module | None:
        """The copy of the contrastive projections; ``None`` without a contrastive head."""

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L)."""

    def encode_visual(self, images: Tensor, text: TextTokens | None) -> VisualTokens:
        """Encode images (B, 3, H, W), each under its text or its Q texts (B * Q, L, D); ``None`` leaves every patch."""

    def fuse(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Let texts and visual tokens meet."""

    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Return next-token logits (B, L, V)."""

    def head(self, name: str) -> nn.Module:
        """Return the copy of a head."""


class MomentumPasses:
    """Encodings of one batch by the momentum model, lazy and cached, all without gradient.

    Args:
        batch: The rows.
        model: The momentum model.
        texts: Those of the trained model, whose hidden words the momentum model reads too.

    Attributes:
        trust: From 0 to 1, the factor of every head's ``alpha``: it grows over the first epochs, if the config says so.
    """

    def __init__(self, batch: Batch, model: MomentumModel, texts: Texts) -> None:
        self._batch, self._model, self._texts = batch, model, texts
        self._hidden: dict[Callable[[Batch], Hidden], TextTokens] = {}
        self.trust = model.trust

    @cached_property
    def text(self) -> TextTokens:
        """The encoded captions (B, L, D)."""
        return self._texts.with_boxes(self._model.encode_text(self._batch.tokens))

    @cached_property
    def visual(self) -> VisualTokens:
        """The images of the caption rows, B x ``num_images``: one pass for all heads."""
        count, texts = self._batch.num_images, self._batch.num_texts
        images = self._batch.images[: self._batch.num_caption_images]
        if self._model.selects:
            return self._model.encode_visual(images, self.text.repeat_each(count))
        return self._model.encode_visual(images, None).repeat_each(texts)

    @property
    def projections(self) -> nn.Module:
        """The contrastive projections; ``build_model`` makes them for a head that provides some."""
        assert self._model.projections is not None, "a head that reads projections has a momentum copy of them"
        return self._model.projections

    def text_of(self, hide: Callable[[Batch], Hidden]) -> TextTokens:
        """Return the encoded captions with what a head's ``hide`` leaves of them."""
        if hide not in self._hidden:
            self._hidden[hide] = self._model.encode_text(self._texts.once(hide).tokens)
        return self._hidden[hide]

    def fuse(self, text: TextTokens) -> FusedTokens:
        """Let a text an image, (B * ``num_images``, L, D), meet ``visual``; for heads that distil by a fusion."""
        return self._model.fuse(text, self.visual)

    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Return next-token logits (B, L, V); for heads that distil by a text decoder."""
        return self._model.decode(tokens, memory, memory_mask)

    def head(self, name: str) -> nn.Module:
        """Return the copy of a head that distils by one."""
        return self._model.head(name)
