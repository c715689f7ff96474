"""Times of several pieces of work that take turns, so that a busy or warming machine slows them all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Stopwatch:
    """Adds up the time spent in ``running()`` regions on a device.

    Attributes:
        device: Its queue is emptied before the clock is read.
        seconds: The sum so far.
    """

    device: torch.device
    seconds: float = field(default=0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time until the region ends."""
        start = self._now()
        try:
            yield
        finally:
            self.seconds += self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def turns(names: Sequence[str], rounds: int, *, warm_up: int = 1) -> Iterator[tuple[int, str]]:
    """Yield which name is next, with the number of its round: every round has each once.

    The one that starts moves on, so that none always follows the same other one.

    Args:
        names: Of the pieces of work.
        rounds: How many rounds count, from 0.
        warm_up: Rounds before, with numbers below 0.
    """
    for number in range(-warm_up, rounds):
        shift = number % len(names)
        for name in [*names[shift:], *names[:shift]]:
            yield number, name


def take_turns(
    runs: Mapping[str, Callable[[], Any]],
    rounds: int,
    device: torch.device,
    *,
    warm_up: int = 1,
    report: Callable[[str], object] | None = None,
) -> dict[str, list[float]]:
    """Return the seconds of each run in each round (``turns``).

    Args:
        runs: Pieces of work by name.
        rounds: How often each is timed, 1 or more.
        device: Where they run.
        warm_up: Rounds before, which are not counted.
        report: Gets a line after each piece of work, which at base size takes seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number, name in turns(list(runs), rounds, warm_up=warm_up):
        watch = Stopwatch(device)
        with watch.running():
            runs[name]()
        if number >= 0:
            times[name].append(watch.seconds)
        if report is not None:
            turn = f"round {number + 1} of {rounds}" if number >= 0 else "warm-up"
            report(f"{name}, {turn}: {watch.seconds:.3f} s")
    return times


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """Return how many times faster the second is, round by round, so that both of a ratio met the same machine."""
    return [a / b for a, b in zip(slow, fast, strict=True)]
