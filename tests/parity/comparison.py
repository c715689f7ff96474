"""What is compared with what, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Measured(NamedTuple):
    """How many cases were compared and how far apart they are: the largest difference, or how many are not equal."""

    cases: int
    difference: float
    counts: bool = False

    def __str__(self) -> str:
        return f"{self.difference:g} cases" if self.counts else f"{self.difference:.1e}".replace("0.0e+00", "0")

    @classmethod
    def numbers(cls, pairs: Iterable[tuple[Any, Any]]) -> Measured:
        """Compare tensors or numbers, ours first; cases are the numbers in them."""
        cases, largest = 0, 0.0
        for one, two in pairs:
            ours, theirs = (torch.as_tensor(value).double() for value in (one, two))
            if ours.shape != theirs.shape:
                raise ValueError(f"shapes differ: {tuple(ours.shape)} here, {tuple(theirs.shape)} there")
            cases += ours.numel()
            gap = (ours - theirs).abs().nan_to_num(nan=float("inf"))
            largest = max(largest, float(gap.max()) if ours.numel() else 0.0)
        return cls(cases, largest)

    @classmethod
    def equality(cls, pairs: Iterable[tuple[Any, Any]]) -> Measured:
        """Count the cases whose two values are not equal."""
        outcomes = [_as_python(ours) == _as_python(theirs) for ours, theirs in pairs]
        return cls(len(outcomes), outcomes.count(False), counts=True)


@dataclass(frozen=True)
class Comparison:
    """One row of the table.

    Attributes:
        item: What is compared.
        peer: Name of the distribution that computes the same.
        run: Does it; may import the peer.
        tolerance: Largest difference, or share of unequal cases, that counts as equal.
        documented: Where a difference is explained; empty where there should be none.
        needs_java: The peer's program runs in Java.
    """

    item: str
    peer: str
    run: Callable[[], Measured]
    tolerance: float = 0.0
    documented: str = ""
    needs_java: bool = False

    def verdict(self, measured: Measured) -> str:
        """Return ``equal``, ``documented difference`` or ``DIFFERENT``."""
        difference = measured.difference / max(1, measured.cases) if measured.counts else measured.difference
        if difference <= self.tolerance:
            return "equal"
        return "documented difference" if self.documented else "DIFFERENT"


def _as_python(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value
