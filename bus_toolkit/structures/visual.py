"""Images on their way: boxes, and the tokens before, inside and after the backbone.

Shapes: B batch, L text length, D width, N patches of the image, P prefix tokens (CLS, registers), S visual tokens after
the prefix (kept patches, then the fused token of the last stage, or the queries of a decoder).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.ops.kept_patches import KeptPatches
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.short_repr import ShortRepr, short
from bus_toolkit.structures.selections import Selection


class Boxes(NamedTuple):
    """Padded boxes of R images: ``xyxy`` (R, M, 4) pixels, ``valid`` and ``named`` bool (R, M), ``size`` (H, W)."""

    xyxy: Tensor
    valid: Tensor
    named: Tensor
    size: tuple[int, int]

    def rows(self, rows: slice | Tensor) -> Boxes:
        """Return the boxes of some images."""
        return Boxes(self.xyxy[rows], self.valid[rows], self.named[rows], self.size)


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

    def repeat_each(self, times: int) -> SharedTokens:
        """Return every image ``times`` times in a row, each for a text of its own."""
        return replace(self, tokens=repeat_rows(self.tokens, times), block_input=repeat_rows(self.block_input, times))

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
        scores_are_logits: Whether they are logits (before a sigmoid) that a patch-text head may train.
        undecoded: The tokens that the decoder read, straight from the backbone; ``None`` where no decoder did.
        unread: bool (B, P + S), tokens that hold nothing or are hidden and must not be read; ``None`` where all may be.
        prior: (B, P + S), what is added to the attention logits of the fusion, where it was computed under another text
            than the one that is fused; ``None``: ``Encoders.fuse`` asks the model's prior, if there is one.
        unrepeated: Where rows are the same image again, for each of its texts or in several pairs: every image once.
        rows: int64 (B,), which of ``unrepeated`` each row is; ``None`` where each is there equally often, in a row.
    """

    embeds: Tensor
    num_prefix: int
    grid: tuple[int, int]
    selections: list[Selection] = field(default_factory=list)
    origin: Tensor | None = None
    scores: Tensor | None = None
    undecoded: VisualTokens | None = None
    unread: Tensor | None = None
    scores_are_logits: bool = False
    prior: Tensor | None = None
    unrepeated: VisualTokens | None = None
    rows: Tensor | None = None

    @property
    def cls(self) -> Tensor:
        """The global token (B, D)."""
        return self.embeds[:, 0]

    @property
    def of_images(self) -> VisualTokens:
        """The tokens of every image once, where rows repeat them for its texts; else these."""
        return self if self.unrepeated is None else self.unrepeated

    @property
    def texts(self) -> int:
        """How many rows in a row repeat one image; 1 where none does."""
        assert self.rows is None, "rows say which image each is"
        return self.embeds.shape[0] // self.of_images.embeds.shape[0]

    def repeat_each(self, times: int) -> VisualTokens:
        """Return every image ``times`` times in a row, for so many texts, with these tokens as ``unrepeated``."""
        if times == 1:
            return self
        return replace(
            self,
            embeds=repeat_rows(self.embeds, times),
            selections=[selection.repeat_each(times) for selection in self.selections],
            origin=repeat_rows(self.origin, times),
            scores=repeat_rows(self.scores, times),
            undecoded=None if self.undecoded is None else self.undecoded.repeat_each(times),
            unread=repeat_rows(self.unread, times),
            prior=repeat_rows(self.prior, times),
            unrepeated=self,
            rows=None,
        )

    def paired(self, rows: Tensor) -> VisualTokens:
        """Return the images at ``rows`` as ``index`` does, with these tokens as ``unrepeated``.

        What reads them may then compute once for each image what it would for each row, such as keys and values.
        """
        return replace(self.index(rows), unrepeated=self, rows=rows)

    def index(self, rows: Tensor) -> VisualTokens:
        """Return the images at ``rows`` (int64, any length, repeats are allowed), without what selectors decided."""
        origin, scores, unread, prior = (
            None if part is None else part[rows] for part in (self.origin, self.scores, self.unread, self.prior)
        )
        return replace(
            self,
            embeds=self.embeds[rows],
            selections=[],
            origin=origin,
            scores=scores,
            undecoded=None if self.undecoded is None else self.undecoded.index(rows),
            unread=unread,
            prior=prior,
            unrepeated=None,
            rows=None,
        )

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
        return self.kept_by_stage()[-1]

    def kept_by_stage(self) -> list[Tensor]:
        """Return which patches are tokens of their own, bool (B, N): at the start, and after each selection in turn."""
        alive = torch.ones(
            self.embeds.shape[0], self.grid[0] * self.grid[1], dtype=torch.bool, device=self.embeds.device
        )
        stages = [alive]
        for selection in self.selections:
            plan, before = selection.decision.plan, selection.slots_before
            founding = torch.zeros_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, True)
            stages.append(stages[-1] & (before >= 0) & founding.gather(1, before.clamp(min=0)))
        return stages


@dataclass(frozen=True, repr=False)
class FusedTokens(ShortRepr):
    """Output of a fusion.

    Attributes:
        text: (B, L, D), the text that has read the image.
        visual: (B, V, D).
        attention_mask: bool (B, L), the text's.
        pooled: (B, D), the global token of the pair where the fusion makes one; else the text's [CLS] is it.
        unread: bool (B, V), visual tokens that must not be read; ``None`` where all may be.
        image: Where selectors act inside the fusion: the visual tokens with what these decided.
    """

    text: Tensor
    visual: Tensor
    attention_mask: Tensor
    pooled: Tensor | None = None
    unread: Tensor | None = None
    image: VisualTokens | None = None

    @property
    def cls(self) -> Tensor:
        """The fused global token (B, D)."""
        return self.text[:, 0] if self.pooled is None else self.pooled

    def memory(self) -> tuple[Tensor, Tensor]:
        """Return both sides as states for a text decoder, (B, V + L, D), and which may be read, bool (B, V + L)."""
        seen = self.attention_mask.new_ones(self.visual.shape[:2]) if self.unread is None else ~self.unread
        return torch.cat([self.visual, self.text], dim=1), torch.cat([seen, self.attention_mask], dim=1)
