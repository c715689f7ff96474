"""What knowing nothing is worth: the share of the most frequent answer, and which accuracies do not exceed it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bus_toolkit.evaluation.metrics.kinds import key_of
from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.cell_text import estimate_text
from bus_toolkit.study.report.runs import Run

GUESSING = "no better than guessing"
NEAR_GUESSING = 5.0
"""Points above the share of the most frequent answer up to which a quality is none to race for (our choice)."""


def majority_of(runs: Iterable[Run], kind: str) -> float | None:
    """Return how often the most frequent answer is right, in per cent; ``None`` if no run has computed it."""
    metrics = [run.line.get("metrics") or {} for run in runs]
    for key in (f"classification/majority_{key_of(kind)}", "classification/majority"):
        shares = [100 * float(of_run[key]) for of_run in metrics if of_run.get(key) is not None]
        if shares:
            return shares[0]
    return None


def is_guess(accuracy: Estimate | None, majority: float | None) -> bool:
    """Return whether the interval of an accuracy reaches down to the share of the most frequent answer."""
    if accuracy is None or majority is None or math.isnan(accuracy.mean):
        return False
    return (accuracy.mean if math.isnan(accuracy.low) else accuracy.low) <= majority


def is_near_guess(quality: float, majority: float | None) -> bool:
    """Return whether a quality, in per cent, is so near to guessing that the time to it says nothing."""
    return majority is not None and quality <= majority + NEAR_GUESSING


def accuracy_text(accuracy: Estimate | None, majority: float | None) -> str:
    """Return an accuracy with its interval, and whether that is no better than guessing."""
    return estimate_text(accuracy) + (f" ({GUESSING})" if is_guess(accuracy, majority) else "")


def percent_text(accuracy: Estimate, majority: float | None) -> str:
    """Return the same for a sentence."""
    return f"{estimate_text(accuracy)} %" + (f", {GUESSING}" if is_guess(accuracy, majority) else "")
