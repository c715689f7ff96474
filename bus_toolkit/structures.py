"""The typed objects that travel between the parts.

Shapes: B batch, L text length, D width, N patches of the image, P prefix tokens (CLS, registers), S visual tokens after
the prefix (kept patches, then the fused token of the last stage, or the queries of a decoder).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from bus_toolkit.errors import ComponentError, DataError, describe
from bus_toolkit.ops.kept_patches import KeptPatches
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.short_repr import ShortRepr, short


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


class Boxes(NamedTuple):
    """Padded boxes of R images: ``xyxy`` (R, M, 4) pixels, ``valid`` and ``named`` bool (R, M), ``size`` (H, W)."""

    xyxy: Tensor
    valid: Tensor
    named: Tensor
    size: tuple[int, int]

    def rows(self, rows: slice) -> Boxes:
        """Return the boxes of some images."""
        return Boxes(self.xyxy[rows], self.valid[rows], self.named[rows], self.size)


class Similarity(NamedTuple):
    """How alike images and texts are, without gradient: this rank's B rows against all G rows of all ranks.

    Attributes:
        image_to_text: (B, G), divided by the temperature.
        text_to_image: (B, G), divided by the temperature.
    """

    image_to_text: Tensor
    text_to_image: Tensor


_TOKENIZER_CONTRACT = (
    *("vocab_size", "pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id"),
    *("special_ids", "max_length", "ids_of_words"),
)


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of a tokenizer, as heads get them.

    Attributes:
        size: Number of ids, V.
        pad_id: Padding.
        cls_id: What a text starts with.
        sep_id: What ends it.
        mask_id: What replaces a hidden word.
        special_ids: All ids that are no words, the four above included.
        max_length: Most tokens of a text, start and end included.
        ids_of_words: Returns the id of each word; raises ``DataError`` for one that is no entry.
    """

    size: int
    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    special_ids: tuple[int, ...]
    max_length: int
    ids_of_words: Callable[[Sequence[str]], list[int]]

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Return that of a tokenizer.

        Raises:
            ComponentError: The tokenizer does not have all attributes of its contract.
        """
        missing = [name for name in _TOKENIZER_CONTRACT if not hasattr(tokenizer, name)]
        if missing:
            raise ComponentError(
                f"model.tokenizer: {type(tokenizer).__name__} needs {', '.join(_TOKENIZER_CONTRACT)} as attributes, "
                f"got none named {', '.join(missing)}. Add them to the class."
            )
        size, pad, start, end, mask, special, longest, ids = (getattr(tokenizer, name) for name in _TOKENIZER_CONTRACT)
        return cls(size, pad, start, end, mask, tuple(special), longest, ids)

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that a written text cannot contain: all special ones but the end."""
        return tuple(number for number in self.special_ids if number != self.sep_id)


@dataclass(frozen=True, repr=False)
class TextTokens(ShortRepr):
    """Output of a text encoder: ``embeds`` (B, L, D), ``pooled`` (B, D), ``attention_mask`` bool (B, L)."""

    embeds: Tensor
    pooled: Tensor
    attention_mask: Tensor

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
        return TextTokens(self.embeds[rows], self.pooled[rows], self.attention_mask[rows])

    def repeat_each(self, times: int) -> TextTokens:
        """Return every text ``times`` times in a row."""
        if times == 1:
            return self
        return TextTokens(
            *(part.repeat_interleave(times, dim=0) for part in (self.embeds, self.pooled, self.attention_mask))
        )

    def followed_by(self, others: TextTokens) -> TextTokens:
        """Return these texts and, after them, others; the shorter ones are padded to the length of the longer."""
        length = max(self.embeds.shape[1], others.embeds.shape[1])
        one, two = self._padded(length), others._padded(length)
        return TextTokens(
            torch.cat([one.embeds, two.embeds]),
            torch.cat([one.pooled, two.pooled]),
            torch.cat([one.attention_mask, two.attention_mask]),
        )

    def _padded(self, length: int) -> TextTokens:
        missing = length - self.embeds.shape[1]
        if not missing:
            return self
        return TextTokens(pad(self.embeds, (0, 0, 0, missing)), self.pooled, pad(self.attention_mask, (0, missing)))


@dataclass(frozen=True, repr=False)
class Guide(ShortRepr):
    """What images say to learned tokens: for selectors that a head aligns with the text (CrossGET, MADTP).

    Attributes:
        tokens: (M, D), the learned tokens; the head puts the same to the text.
        answers: (B, M, D), what the image said.
    """

    tokens: Tensor
    answers: Tensor


class Decision(NamedTuple):
    """What a selector returns.

    Attributes:
        plan: Where each of its N input tokens goes.
        scores: What it ranked them by, (B, N).
        supervised: Whether the scores are logits (before a sigmoid) that a patch-text head may train.
        guide: What a head may align with the text; ``None`` for most.
    """

    plan: TokenPlan
    scores: Tensor
    supervised: bool = False
    guide: Guide | None = None

    def __repr__(self) -> str:
        """Return shapes."""
        return f"Decision(plan={self.plan!r}, scores={short(self.scores)}, supervised={self.supervised})"


@dataclass(frozen=True, repr=False)
class Selection(ShortRepr):
    """What a selector decided at ``block`` (counted from 1).

    Attributes:
        decision: Its plan for the tokens, with the scores.
        block: The block it sits at.
        slots_before: int64 (B, N), the input token that each original patch was in, or -1.
    """

    decision: Decision
    block: int
    slots_before: Tensor

    def patch_scores(self) -> Tensor:
        """Return the scores as those of the original patches, (B, N); NaN for patches that were gone before."""
        before = self.slots_before  # (B, N): the token that held each patch when the selector looked
        scores = at_least_float32(self.decision.scores).gather(1, before.clamp(min=0))
        return scores.masked_fill(before < 0, float("nan"))

    def __repr__(self) -> str:
        """Return where it was made, and how many tokens went in and out."""
        plan = self.decision.plan
        return f"Selection(block {self.block}: {plan.num_inputs} tokens to {plan.num_slots})"


@dataclass(frozen=True, repr=False)
class SharedTokens(ShortRepr):
    """Tokens (B, P + N, D) after ``num_blocks`` blocks: all of the backbone that does not depend on the text.

    ``block_input`` (B, P + N, D) is what the last of these blocks read, for a selector that sits right after it.
    """

    tokens: Tensor
    grid: tuple[int, int]
    num_blocks: int
    block_input: Tensor | None = None

    def index(self, rows: Tensor | slice) -> SharedTokens:
        """Return the images at ``rows`` (int64, any length, repeats are allowed; or a slice)."""
        block_input = None if self.block_input is None else self.block_input[rows]
        return replace(self, tokens=self.tokens[rows], block_input=block_input)

    def to(self, device: torch.device | str) -> SharedTokens:
        """Return a copy on ``device``."""
        block_input = None if self.block_input is None else self.block_input.to(device)
        return replace(self, tokens=self.tokens.to(device), block_input=block_input)


@dataclass(frozen=True, repr=False)
class VisualTokens(ShortRepr):
    """Visual tokens on their way out of the backbone or a decoder.

    Attributes:
        embeds: (B, P + S, D), prefix tokens first.
        num_prefix: P.
        grid: Rows and columns of the original patches.
        selections: What each selector decided, in order.
        origin: int64 (B, N), the slot among the S tokens that each original patch ended in, or -1; ``None`` after a
            decoder, whose queries read from everywhere.
        scores: (B, S), the ranking score of each token from the last selector, lowest for a fused token; ``None``
            without one.
        undecoded: The tokens that the decoder read, straight from the backbone; ``None`` where no decoder did.
        unread: bool (B, P + S), tokens that hold nothing or are hidden and must not be read; ``None`` where all may be.
    """

    embeds: Tensor
    num_prefix: int
    grid: tuple[int, int]
    selections: list[Selection] = field(default_factory=list)
    origin: Tensor | None = None
    scores: Tensor | None = None
    undecoded: VisualTokens | None = None
    unread: Tensor | None = None

    @property
    def cls(self) -> Tensor:
        """The global token (B, D)."""
        return self.embeds[:, 0]

    @property
    def read_origin(self) -> Tensor | None:
        """As ``origin``, with -1 for patches in tokens that must not be read."""
        if self.origin is None or self.unread is None:
            return self.origin
        is_unread = self.unread[:, self.num_prefix :].gather(1, self.origin.clamp(min=0))
        return self.origin.masked_fill(is_unread, -1)

    def __repr__(self) -> str:
        """Return shapes, and how many patches are left."""
        shown = [f"embeds={short(self.embeds)}", f"num_prefix={self.num_prefix}", f"grid={self.grid}"]
        if self.selections:
            shown.append(f"selections at blocks {[selection.block for selection in self.selections]}")
        if not self.embeds.is_meta:
            shown.append(f"{self.kept.share()} patches kept")
        return f"VisualTokens({', '.join(shown)})"

    @property
    def kept(self) -> KeptPatches:
        """Which original patches are left as tokens of their own: mask, indices and boxes in pixels."""
        return KeptPatches(self.kept_patches(), self.grid)

    def kept_patches(self) -> Tensor:
        """Return the mask of ``kept``, bool (B, N)."""
        alive = torch.ones(
            self.embeds.shape[0], self.grid[0] * self.grid[1], dtype=torch.bool, device=self.embeds.device
        )
        for selection in self.selections:
            plan, before = selection.decision.plan, selection.slots_before
            founding = torch.zeros_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, True)
            alive = alive & (before >= 0) & founding.gather(1, before.clamp(min=0))
        return alive


@dataclass(frozen=True, repr=False)
class FusedTokens(ShortRepr):
    """Output of a fusion.

    Attributes:
        text: (B, L, D), the text that has read the image.
        visual: (B, V, D).
        attention_mask: bool (B, L), the text's.
        pooled: (B, D), the global token of the pair where the fusion makes one; else the text's [CLS] is it.
        unread: bool (B, V), visual tokens that must not be read; ``None`` where all may be.
    """

    text: Tensor
    visual: Tensor
    attention_mask: Tensor
    pooled: Tensor | None = None
    unread: Tensor | None = None

    @property
    def cls(self) -> Tensor:
        """The fused global token (B, D)."""
        return self.text[:, 0] if self.pooled is None else self.pooled

    def memory(self) -> tuple[Tensor, Tensor]:
        """Return both sides as states for a text decoder, (B, V + L, D), and which may be read, bool (B, V + L)."""
        seen = self.attention_mask.new_ones(self.visual.shape[:2]) if self.unread is None else ~self.unread
        return torch.cat([self.visual, self.text], dim=1), torch.cat([seen, self.attention_mask], dim=1)
