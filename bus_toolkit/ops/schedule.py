"""A keep ratio that may change over the epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "cosine": lambda t: (1.0 - math.cos(math.pi * t)) / 2.0,
}


@dataclass(frozen=True)
class KeepRatioSchedule:
    """Move the share of kept patches from ``start`` to ``end`` within the first ``epochs`` epochs.

    Args:
        start: Share at the beginning, in (0, 1].
        end: Share from epoch ``epochs`` on, in (0, 1]; what an evaluation of a finished model uses.
        epochs: Length of the change in epochs, fractions allowed; 0 is a constant ``end``.
        shape: ``linear`` or ``cosine``.

    Raises:
        ValueError: A share outside (0, 1], a negative length or an unknown shape.
    """

    start: float
    end: float
    epochs: float
    shape: str = "cosine"

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"keep_ratio.{name}: must be in (0, 1], got {getattr(self, name)}.")
        if self.epochs < 0:
            raise ValueError(f"keep_ratio.epochs: must be 0 or more, got {self.epochs}.")
        if self.shape not in SHAPES:
            raise ValueError(f"keep_ratio.shape: must be one of {sorted(SHAPES)}, got {self.shape!r}.")

    @classmethod
    def parse(cls, value: float | Mapping[str, Any] | KeepRatioSchedule) -> KeepRatioSchedule:
        """Read a YAML value: a number, or a mapping ``{start, end, epochs, shape}``."""
        if isinstance(value, KeepRatioSchedule):
            return value
        if isinstance(value, Mapping):
            unknown = set(value) - {"start", "end", "epochs", "shape"}
            missing = {"start", "end", "epochs"} - set(value)
            if unknown or missing:
                raise ValueError(
                    f"keep_ratio: a schedule takes start, end, epochs and shape, got {sorted(value)}. "
                    "Write e.g. {start: 1.0, end: 0.5, epochs: 5, shape: cosine}."
                )
            return cls(**value)
        return cls(start=float(value), end=float(value), epochs=0.0)

    def at(self, epoch: float) -> float:
        """Return the share at ``epoch`` (fractions count)."""
        if epoch >= self.epochs:
            return self.end
        return self.start + (self.end - self.start) * SHAPES[self.shape](epoch / self.epochs)
