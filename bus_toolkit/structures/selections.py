"""What selectors decide.

Shapes: B batch, L text length, D width, N patches of the image, P prefix tokens (CLS, registers), S visual tokens after
the prefix (kept patches, then the fused token of the last stage, or the queries of a decoder).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.short_repr import ShortRepr, short


@dataclass(frozen=True, repr=False)
class Guide(ShortRepr):
    """What images say to learned tokens: for selectors that a head aligns with the text (CrossGET, MADTP).

    Attributes:
        tokens: (M, D), the learned tokens; the head puts the same to the text.
        answers: (B, M, D), what the image said.
    """

    tokens: Tensor
    answers: Tensor


class LearnsFrom(Enum):
    """The boxes whose patches a supervised selector learns to find."""

    NAMED = "named"
    """Those of the objects that the text names."""
    OBJECTS = "objects"
    """Those of all objects of the image."""


class Decision(NamedTuple):
    """What a selector returns.

    Attributes:
        plan: Where each of its N input tokens goes.
        scores: What it ranked them by, (B, N).
        supervised: Whether the scores are logits (before a sigmoid) that a patch-text head may train.
        guide: What a head may align with the text; ``None`` for most.
        learns_from: The boxes that supervised scores are trained on.
    """

    plan: TokenPlan
    scores: Tensor
    supervised: bool = False
    guide: Guide | None = None
    learns_from: LearnsFrom = LearnsFrom.NAMED

    def repeat_each(self, times: int) -> Decision:
        """Return what was decided on every image ``times`` times in a row."""
        guide = self.guide
        return self._replace(
            plan=self.plan.repeat_each(times),
            scores=repeat_rows(self.scores, times),
            guide=None if guide is None else Guide(guide.tokens, repeat_rows(guide.answers, times)),
        )

    def __repr__(self) -> str:
        """Return shapes."""
        return f"Decision(plan={self.plan!r}, scores={short(self.scores)}, supervised={self.supervised})"


class PatchScores(NamedTuple):
    """Scores of candidates that a patch-text head may train: logits, before a sigmoid.

    Attributes:
        scores: (B, C), of C candidates.
        slots: int64 (B, N), the candidate that each original patch is in, or -1.
        learns_from: The boxes of which objects they learn from.
    """

    scores: Tensor
    slots: Tensor
    learns_from: LearnsFrom = LearnsFrom.NAMED

    def repeat_each(self, times: int) -> PatchScores:
        """Return those of every image ``times`` times in a row."""
        return self._replace(scores=repeat_rows(self.scores, times), slots=repeat_rows(self.slots, times))

    def followed_by(self, others: PatchScores) -> PatchScores:
        """Return those of these images and, after them, of others with as many candidates."""
        return self._replace(
            scores=torch.cat([self.scores, others.scores]), slots=torch.cat([self.slots, others.slots])
        )

    def of_patches(self, gone: float) -> Tensor:
        """Return the scores as those of the original patches, (B, N), ``gone`` for patches in no candidate."""
        scores = at_least_float32(self.scores).gather(1, self.slots.clamp(min=0))
        return scores.masked_fill(self.slots < 0, gone)


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
        # By the token that held each patch when the selector looked.
        return PatchScores(self.decision.scores, self.slots_before).of_patches(gone=float("nan"))

    def repeat_each(self, times: int) -> Selection:
        """Return what was decided on every image ``times`` times in a row."""
        return Selection(self.decision.repeat_each(times), self.block, repeat_rows(self.slots_before, times))

    def __repr__(self) -> str:
        """Return where it was made, and how many tokens went in and out."""
        plan = self.decision.plan
        return f"Selection(block {self.block}: {plan.num_inputs} tokens to {plan.num_slots})"
