"""Texts on their way: token ids, what a head hides or shows of them, and their encodings.

Shapes: B batch, L text length, D width, N patches of the image, P prefix tokens (CLS, registers), S visual tokens after
the prefix (kept patches, then the fused token of the last stage, or the queries of a decoder).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from bus_toolkit.errors import DataError, describe
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.short_repr import ShortRepr


class Condition(Enum):
    """The text under which an image is encoded: what selectors and decoders may read."""

    FREE = "free"
    """No text at all; ``conditioning.without_text`` says what selects then."""
    CAPTION = "caption"
    """The sample's own text."""
    MASKED = "masked"
    """The own text with words hidden, by a head that provides it."""
    PREFIX = "prefix"
    """The beginning of the own text, from a head that provides it."""
    OTHER_CAPTION = "other_caption"
    """The text of another image of the batch; for predictions that compare the two."""


class TokenBatch(NamedTuple):
    """Token ids of texts: ``input_ids`` int64 (B, L) and ``attention_mask`` bool (B, L), True = may be attended."""

    input_ids: Tensor
    attention_mask: Tensor

    def up_to(self, length: int) -> TokenBatch:
        """Return the first ``length`` places, at least one."""
        length = max(1, length)
        return TokenBatch(self.input_ids[:, :length], self.attention_mask[:, :length])

    def before_last(self) -> TokenBatch:
        """Return the places that a token follows: all but the last, from which a text decoder has nothing to learn."""
        return self.up_to(self.input_ids.shape[1] - 1)


class Masked(NamedTuple):
    """Captions with words hidden: ``tokens``; for each place ``positions``, ``targets``, ``valid``, all (B, K)."""

    tokens: TokenBatch
    positions: Tensor
    targets: Tensor
    valid: Tensor


class Beginnings(NamedTuple):
    """Beginnings of captions: ``tokens``, whose mask ends after ``lengths`` (B,) tokens."""

    tokens: TokenBatch
    lengths: Tensor

    @classmethod
    def of(cls, tokens: TokenBatch, lengths: Tensor) -> Beginnings:
        """Return the first ``lengths`` (B,) tokens of each text."""
        ids, mask = tokens
        begun = torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)  # (B, L)
        return cls(TokenBatch(ids, begun & mask), lengths)


class Similarity(NamedTuple):
    """How alike images and texts are, without gradient: this rank's B rows against all G rows of all ranks.

    Attributes:
        image_to_text: (B, G), divided by the temperature.
        text_to_image: (B, G), divided by the temperature.
    """

    image_to_text: Tensor
    text_to_image: Tensor


@dataclass(frozen=True, repr=False)
class TextTokens(ShortRepr):
    """Output of a text encoder: ``embeds`` (B, L, D), ``pooled`` (B, D), ``attention_mask`` bool (B, L).

    ``named_cover`` (B, N) is no output of it: the share of each patch of the image that the boxes which the text names
    cover. A training and an evaluation give it where a selector needs boxes; it is ``None`` elsewhere.
    """

    embeds: Tensor
    pooled: Tensor
    attention_mask: Tensor
    named_cover: Tensor | None = None

    @classmethod
    def of(cls, embeds: Tensor, attention_mask: Tensor | None = None, pooled: Tensor | None = None) -> TextTokens:
        """Return encoded texts of another text encoder.

        Args:
            embeds: (B, L, D), or (B, D) for one vector a text.
            attention_mask: (B, L), True or 1 for tokens that may be read; all of them when not given.
            pooled: (B, D), the vector of the whole text; the first token's when not given.

        Raises:
            DataError: Other shapes, or a text without a token that may be read.
        """
        if not isinstance(embeds, Tensor) or embeds.dim() not in (2, 3) or not embeds.is_floating_point():
            raise DataError(f"text: embeds must be floats (B, L, D) or (B, D), got {describe(embeds)}.")
        embeds = embeds.unsqueeze(1) if embeds.dim() == 2 else embeds
        if 0 in embeds.shape:
            raise DataError(f"text: embeds must be floats (B, L, D) or (B, D), got {describe(embeds)}.")
        mask = torch.ones(embeds.shape[:2], device=embeds.device) if attention_mask is None else attention_mask
        pooled = embeds[:, 0] if pooled is None else pooled
        if mask.shape != embeds.shape[:2] or pooled.shape != (embeds.shape[0], embeds.shape[2]):
            raise DataError(
                f"text: attention_mask must be (B, L) and pooled (B, D) of embeds {tuple(embeds.shape)}, got "
                f"{tuple(mask.shape)} and {tuple(pooled.shape)}."
            )
        if not mask.is_meta and not mask.bool().any(dim=1).all():
            raise DataError("text: each row of attention_mask needs a token that may be read, got one without any.")
        return cls(embeds, pooled, mask.bool())

    def index(self, rows: Tensor | slice) -> TextTokens:
        """Return the texts at ``rows`` (int64, any length, repeats are allowed; or a slice)."""
        cover = None if self.named_cover is None else self.named_cover[rows]
        return TextTokens(self.embeds[rows], self.pooled[rows], self.attention_mask[rows], cover)

    def repeat_each(self, times: int) -> TextTokens:
        """Return every text ``times`` times in a row."""
        return TextTokens(
            repeat_rows(self.embeds, times),
            repeat_rows(self.pooled, times),
            repeat_rows(self.attention_mask, times),
            repeat_rows(self.named_cover, times),
        )

    def followed_by(self, others: TextTokens) -> TextTokens:
        """Return these texts and, after them, others; the shorter ones are padded to the length of the longer."""
        length = max(self.embeds.shape[1], others.embeds.shape[1])
        one, two = self.padded(length), others.padded(length)
        covers = [text.named_cover for text in (one, two) if text.named_cover is not None]
        return TextTokens(
            torch.cat([one.embeds, two.embeds]),
            torch.cat([one.pooled, two.pooled]),
            torch.cat([one.attention_mask, two.attention_mask]),
            torch.cat(covers) if len(covers) == 2 else None,
        )

    def padded(self, length: int) -> TextTokens:
        """Return the same texts with padding up to ``length`` tokens."""
        missing = length - self.embeds.shape[1]
        if not missing:
            return self
        mask = pad(self.attention_mask, (0, missing))
        return replace(self, embeds=pad(self.embeds, (0, 0, 0, missing)), attention_mask=mask)
