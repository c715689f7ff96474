"""Fit the figures of a training step into one line of a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

TOTAL = "loss"


def shorter_lines(means: Mapping[str, float], samples_per_second: float, remaining: float) -> list[str]:
    """Return lines on a step, each shorter than the one before it; all have the speed and the remaining time.

    Args:
        means: Losses by name; ``loss`` is their sum.
        samples_per_second: The speed.
        remaining: Seconds.
    """
    pace = f"{samples_per_second:.1f}/s  {clock(remaining)} left"
    names = {key: key.removeprefix("loss_") for key in means}
    every = [" ".join(f"{names[key]} {means[key]:.{digits}f}" for key in means) for digits in (3, 2)]
    total = f"loss {means.get(TOTAL, sum(means.values())):.3f}"
    return [*(f"{losses}  {pace}" for losses in (*every, total) if means), pace]


def first_that_fits(lines: Sequence[str], width: int) -> str:
    """Return the first line of at most ``width`` characters, else the last one."""
    return next((line for line in lines if len(line) <= width), lines[-1])


def clock(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))
