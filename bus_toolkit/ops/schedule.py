"""A keep ratio that may change over the epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import Problem

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "cosine": lambda t: (1.0 - math.cos(math.pi * t)) / 2.0,
}
_KEYS = {"start", "end", "epochs", "shape"}


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
        for key, text in _mistakes(vars(self)):
            raise ValueError(f"keep_ratio.{key}: {text}")

    @classmethod
    def parse(cls, value: float | Mapping[str, Any] | KeepRatioSchedule) -> KeepRatioSchedule:
        """Read a YAML value: a number, or a mapping ``{start, end, epochs, shape}``."""
        if isinstance(value, KeepRatioSchedule):
            return value
        for problem in keep_ratio_problems({"keep_ratio": value}, ""):
            raise ValueError(str(problem))
        if isinstance(value, Mapping):
            return cls(**value)
        return cls(start=float(value), end=float(value), epochs=0.0)

    def at(self, epoch: float) -> float:
        """Return the share at ``epoch`` (fractions count)."""
        if epoch >= self.epochs:
            return self.end
        return self.start + (self.end - self.start) * SHAPES[self.shape](epoch / self.epochs)


def keep_ratio_problems(values: Mapping[str, Any], path: str) -> list[Problem]:
    """Return what is wrong with the ``keep_ratio`` among the arguments of a part at ``path``, by its YAML path.

    Lists, which some parts take, are theirs to check.
    """
    value, place = values.get("keep_ratio"), f"{path}.keep_ratio" if path else "keep_ratio"
    if isinstance(value, int | float):
        return [Problem(place, text) for _, text in _mistakes({"end": value})]
    if not isinstance(value, Mapping):
        return []
    if set(value) - _KEYS or _KEYS - {"shape"} - set(value):
        text = (
            f"a schedule takes start, end, epochs and shape, got {sorted(value)}. "
            "Write e.g. {start: 1.0, end: 0.5, epochs: 5, shape: cosine}."
        )
        return [Problem(place, text)]
    return [Problem(f"{place}.{key}", text) for key, text in _mistakes(value)]


def _mistakes(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of a schedule whose values cannot be used, and why."""
    for key, value in values.items():
        if key == "shape":
            if value not in SHAPES:
                yield key, f"must be one of {sorted(SHAPES)}, got {value!r}."
        elif not isinstance(value, int | float):
            yield key, f"must be a number, got {value!r}."
        elif key == "epochs" and value < 0:
            yield key, f"must be 0 or more, got {value}."
        elif key != "epochs" and not 0.0 < value <= 1.0:
            yield key, f"must be in (0, 1], got {value}."
