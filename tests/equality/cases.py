"""What is trained: conditioning modes, and what a training may have beside them."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("shared", "masked", "own_prefix", "free_itc", "strict")


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        name: For the table.
        mode: Of ``model.conditioning``.
        momentum: A momentum branch, with a queue that is shorter than what a few steps give.
        regions: Rows that only serve patch-text supervision.
        late: Two heads start after a quarter of the steps.
        accumulation: Batches a step of the optimizer.
        uneven: Every fifth batch has half the rows.
    """

    name: str
    mode: str = "shared"
    momentum: bool = False
    regions: bool = False
    late: bool = False
    accumulation: int = 1
    uneven: bool = False


CASES = (
    *(Case(mode, mode) for mode in MODES),
    Case("momentum, queue", momentum=True),
    Case("region rows", regions=True),
    Case("late heads", late=True),
    Case("accumulation of 2", accumulation=2),
    Case("uneven batches", uneven=True),
    Case("shared, all of these", momentum=True, regions=True, late=True, accumulation=2, uneven=True),
    Case("strict, all but momentum", "strict", regions=True, late=True, accumulation=2, uneven=True),
)
