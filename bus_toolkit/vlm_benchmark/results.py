"""Settings and results of a benchmark of vision-language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from bus_toolkit.vlm_benchmark.counting import AnswerMacs
from bus_toolkit.vlm_benchmark.made_up_inputs import Size


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        new_tokens: Tokens of an answer, 2 or more.
        rounds: Timed rounds.
        device: Where.
    """

    new_tokens: int
    rounds: int
    device: torch.device


@dataclass(frozen=True)
class Spread:
    """Figures of all rounds in short: their median, the least and the largest."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Return the spread of figures, one at least."""
        return cls(median(figures), min(figures), max(figures))


@dataclass(frozen=True)
class Measured:
    """What one arm costs on one kind of batch.

    Speed-ups are against the unpruned model of the same round; promised ones are ratios of MACs.

    Attributes:
        name: The arm's.
        image_size: Of its images.
        batch_size: Prompts.
        visual_tokens: Of an image, before any selection.
        kept_mean: Of them at the end of the language model.
        kept_max: The same of the image that keeps most: the others of its batch are padded to that.
        first_seconds: Until the first token.
        later_rate: Tokens a second after it, of the whole batch.
        seconds: Of the whole answer.
        first_speed_up: Of the time to the first token.
        later_speed_up: Of the rate after it.
        speed_up: Of the whole answer.
        promised_first: For the time to the first token.
        promised: For the whole answer.
        selection_share: Of the time to the first token, what selectors take.
        cache_bytes: Keys and values of all layers at the end of the answer.
        peak_bytes: The most that was held beyond weights and inputs until the second token.
        macs: Of the batch.
    """

    name: str
    image_size: Size
    batch_size: int
    visual_tokens: int
    kept_mean: float
    kept_max: int
    first_seconds: Spread
    later_rate: Spread
    seconds: Spread
    first_speed_up: Spread
    later_speed_up: Spread
    speed_up: Spread
    promised_first: float
    promised: float
    selection_share: Spread
    cache_bytes: int
    peak_bytes: int
    macs: AnswerMacs

    @property
    def first_efficiency(self) -> float:
        """How much of the speed-up that MACs promise of the first token arrives; 1 is all of it."""
        return self.first_speed_up.median / self.promised_first

    @property
    def efficiency(self) -> float:
        """The same of the whole answer."""
        return self.speed_up.median / self.promised

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, derived figures too."""
        derived = {"first_efficiency": self.first_efficiency, "efficiency": self.efficiency}
        return {**asdict(self), **derived, "macs": self.macs.to_dict()}
