"""The texts of a batch, encoded once: as they are, with words hidden, and as they condition the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.patch_labels import patch_cover
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.pass_key import Hidden, PassKey
from bus_toolkit.structures import Condition, TextTokens, TokenBatch

_T = TypeVar("_T")


class Texts:
    """Encoded texts of one batch, lazy and cached.

    Args:
        batch: The rows.
        encoders: What encodes them.
        hide: For each pass whose text a head provides, the head's ``hide``.
    """

    def __init__(self, batch: Batch, encoders: Encoders, hide: Mapping[PassKey, Callable[[Batch], Hidden]]) -> None:
        self.batch, self.encoders = batch, encoders
        self._hide = hide
        self._results: dict[Callable[[Batch], Any], Any] = {}
        self._hidden: dict[Callable[[Batch], Any], TextTokens] = {}

    def once(self, compute: Callable[[Batch], _T]) -> _T:
        """Return ``compute(batch)``, computed once a batch; ``compute`` is a method of a head."""
        if compute not in self._results:
            self._results[compute] = compute(self.batch)
        return self._results[compute]

    def text_of(self, hide: Callable[[Batch], Hidden]) -> TextTokens:
        """Return the encoded ``tokens`` of ``once(hide)``."""
        if hide not in self._hidden:
            tokens = _tokens_left(hide, self.once(hide), self.batch.num_captions)
            self._hidden[hide] = self.with_boxes(self.encoders.encode_text(tokens))
        return self._hidden[hide]

    @cached_property
    def all_rows(self) -> TextTokens:
        """All encoded texts (B + R, L, D), region rows included."""
        return self.with_boxes(self.encoders.encode_text(self.batch.all_tokens))

    @cached_property
    def captions(self) -> TextTokens:
        """The encoded captions (B, L, D)."""
        return self.all_rows.index(slice(0, self.batch.num_captions)) if self.batch.has_region_rows else self.all_rows

    @cached_property
    def selecting_all_rows(self) -> TextTokens:
        """What conditions images under their own text: ``all_rows``, or what the data samples give in its place."""
        tokens = self.batch.selecting_tokens
        return self.all_rows if tokens is None else self.encoders.encode_text(tokens)

    @property
    def selecting(self) -> TextTokens:
        """That of the caption rows (B, L, D)."""
        if self.batch.selecting_tokens is None:
            return self.captions
        return self.selecting_all_rows.index(slice(0, self.batch.num_captions))

    @cached_property
    def alone(self) -> TextTokens:
        """The captions as a contrast compares them (B, L, D)."""
        return self.encoders.text_alone(self.captions)

    def with_boxes(self, text: TextTokens) -> TextTokens:
        """Return the encoded texts of the captions, or of all rows, with what they name where a selector needs it."""
        cover = self._named_cover
        return text if cover is None else replace(text, named_cover=cover[: text.embeds.shape[0]])

    @cached_property
    def _named_cover(self) -> Tensor | None:
        """The largest share of each patch that a box covers which the text names, (B + R, N)."""
        backbone = self.encoders.backbone
        if not backbone.needs_boxes:
            return None
        boxes = self.batch.all_boxes
        cover = patch_cover(boxes.xyxy, boxes.size, backbone.adapter.patch_size[0])
        return (cover * (boxes.named & boxes.valid).unsqueeze(-1)).amax(dim=1)  # (R, boxes, N) -> (R, N)

    def conditioning(self, key: PassKey) -> TextTokens | None:
        """Return the text that conditions the images of the caption rows.

        (B * num_images, L, D), a text for each image of each row; one that is no row's own, for each image once.
        """
        if key.condition is Condition.FREE:
            return self.encoders.free_text(self.batch.num_caption_images)
        return self._under(key).repeat_each(self.batch.num_images)

    def conditioning_all_rows(self, key: PassKey) -> TextTokens | None:
        """Return the text that conditions the caption rows, then that of the region rows: always their own.

        For each row or, where it is no row's own, for each image.
        """
        if key.condition is Condition.FREE:
            return self.encoders.free_text(len(self.batch.images))
        if key.condition is Condition.CAPTION:
            return self.selecting_all_rows
        return self._under(key).followed_by(self.all_rows.index(slice(self.batch.num_captions, None)))

    def conditioning_region_rows(self, key: PassKey) -> TextTokens | None:
        """Return the region rows' part of ``conditioning_all_rows``."""
        if key.condition is Condition.FREE:
            return self.encoders.free_text(len(self.batch.images) - self.batch.num_caption_images)
        rows = self.selecting_all_rows if key.condition is Condition.CAPTION else self.all_rows
        return rows.index(slice(self.batch.num_captions, None))

    def _under(self, key: PassKey) -> TextTokens:
        if key in self._hide:
            return self.text_of(self._hide[key])
        if key.condition is Condition.OTHER_CAPTION:
            return self.captions.index(other_rows(self.batch.image_ids).clamp(min=0))
        assert key.condition is Condition.CAPTION, "conditions whose text no head provides are refused beforehand"
        return self.selecting


def _tokens_left(hide: Callable[[Batch], Any], hidden: Any, num_captions: int) -> TokenBatch:
    """Return the ``tokens`` of what a head's ``hide`` returned, if they are a text for each caption.

    Raises:
        ComponentError: They are anything else.
    """
    tokens = getattr(hidden, "tokens", None)
    if isinstance(tokens, TokenBatch):
        ids, mask = tokens
        if ids.dim() == 2 and ids.shape == mask.shape and ids.shape[0] == num_captions and mask.dtype is torch.bool:
            return tokens
        got = f"{describe(ids)} and {describe(mask)}"
    else:
        got = describe(hidden) if tokens is None else describe(tokens)
    raise ComponentError(
        f"model.heads: {getattr(hide, '__qualname__', hide)} must return an object whose `tokens` are a TokenBatch of "
        f"{num_captions} texts, input_ids int64 (B, L) and attention_mask bool (B, L), got {got}. Return "
        "bus_toolkit.structures.Masked or Beginnings, or a class of your own with such tokens."
    )
