"""What a check of the contract is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from tests.huggingface.tiny import Tiny

ROUNDING = 1e-4
"""How far float32 logits of about 10 may be apart where sums are made in another order (measured: 7e-6)."""


@dataclass(frozen=True)
class Measured:
    """What was seen of a family.

    Attributes:
        worst: What may not be larger than the check allows: a largest difference, or how many cases were wrong.
        shown: The same for the table.
    """

    worst: float
    shown: str


@dataclass(frozen=True)
class Check:
    """One thing that holds for every family.

    Attributes:
        title: The head of its column.
        says: What is measured, for the page.
        measure: Measures it on a family, whose model is left as it was.
        bound: The largest ``worst`` that passes.
    """

    title: str
    says: str
    measure: Callable[[Tiny], Measured]
    bound: float = 0.0


def difference(pairs: Iterable[tuple[Tensor, Tensor]]) -> Measured:
    """Return the largest difference of the numbers of pairs of tensors."""
    worst = max(_largest(one, other) for one, other in pairs)
    return Measured(worst, figure(worst))


def figure(value: float) -> str:
    """Return a difference with one digit."""
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")


def _largest(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
