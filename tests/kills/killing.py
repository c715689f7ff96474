"""Kill a training at chosen moments until it has ended."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.kills.training import MOMENT, Setting, start

# In what a kill falls, and how often: (moment that is waited for, most seconds after it).
PLAN: tuple[tuple[str, float], ...] = (
    ("writing", 0.02),
    ("training", 0.3),
    ("evaluating", 0.05),
    ("writing", 0.02),
    ("training", 1.0),
    ("starting", 3.0),
)
_LIMIT = 300.0


def kill_until_done(folder: Path, setting: Setting, kills: int, dice: random.Random) -> Counter[str]:
    """Train in ``folder``, killed ``kills`` times at most; return how many kills fell into what.

    Raises:
        RuntimeError: A rank ended with an error, or did not end.
    """
    done: Counter[str] = Counter()
    for wanted, most in _moments(kills, dice):
        processes = start(folder, setting, resume=(folder / "work").is_dir())
        moment = _wait_for(processes, folder / MOMENT, wanted, dice.uniform(0, most))
        if moment is None:
            _check_ends(processes, folder)
            return done
        done[moment] += 1
        kill(processes)
    processes = start(folder, setting, resume=True)
    for process in processes:
        process.join(_LIMIT)
    _check_ends(processes, folder)
    return done


def kill(processes: Sequence[BaseProcess]) -> None:
    """Kill all ranks at once, and wait until they are gone."""
    for process in processes:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        process.join(_LIMIT)


def _moments(kills: int, dice: random.Random) -> Iterator[tuple[str, float]]:
    for number in range(kills):
        if number % len(PLAN) == 0:
            order = dice.sample(PLAN, len(PLAN))
        yield order[number % len(PLAN)]


def _wait_for(processes: Sequence[BaseProcess], file: Path, wanted: str, more: float) -> str | None:
    """Wait until the moment is there, and some seconds more; return what it then is, ``None`` if the training ended."""
    end = time.monotonic() + _LIMIT
    while file.read_text() != wanted:
        if not all(process.is_alive() for process in processes):
            return None
        if time.monotonic() > end:
            kill(processes)
            raise RuntimeError(f"{file.parent}: no {wanted!r} within {_LIMIT:g} s.")
        time.sleep(0.001)
    time.sleep(more)
    return (file.read_text() or wanted) if all(process.is_alive() for process in processes) else None


def _check_ends(processes: Sequence[BaseProcess], folder: Path) -> None:
    for process in processes:
        process.join(_LIMIT)
    codes = [process.exitcode for process in processes]
    if any(codes):
        kill(processes)
        raise RuntimeError(f"{folder}: the ranks ended with {codes}; see screen_0.txt and screen_1.txt there.")
