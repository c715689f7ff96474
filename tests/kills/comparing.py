"""Whether two trainings ended alike: their last checkpoints, and the figures of every step and evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.weights.files import load_checkpoint_file
from tests.engine.interrupted_run import differences as of_checkpoints

# What differs between any two runs, killed or not.
_OF_THE_CLOCK = ("time", "memory", "samples_per_second", "data_time", "seconds", "data_wait")


def differences(folder: Path, reference: Path) -> list[str]:
    """Return what differs between two work dirs of finished trainings, a line each."""
    found = of_checkpoints(last_checkpoint(reference), last_checkpoint(folder))
    figures, others = (logged(each) for each in (folder, reference))
    found += [f"log: step {step} is missing" for step in sorted(others.keys() - figures.keys())]
    for step in sorted(figures.keys() & others.keys()):
        got, wanted = figures[step], others[step]
        names = sorted(key for key in got.keys() | wanted.keys() if got.get(key) != wanted.get(key))
        found += [f"log: step {step}, {key}: {got.get(key)!r}, not {wanted.get(key)!r}" for key in names]
    return found


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the newest checkpoint."""
    newest = max(folder.glob("iter_*.pth"), key=lambda path: int(path.stem.removeprefix("iter_")))
    return load_checkpoint_file(newest)


def logged(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the figures of each step and evaluation, from all starts; what was done again counts as it was last."""
    figures: dict[tuple[str, int], dict[str, Any]] = {}
    for file in sorted(folder.glob("*/vis_data/scalars.json"), key=lambda path: path.parent.parent.name):
        for line in _whole_lines(file):
            kind = "train" if "loss" in line else "val"
            own = {key: value for key, value in line.items() if not any(word in key for word in _OF_THE_CLOCK)}
            figures[kind, int(line["step"])] = own
    return figures


def _whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # the last one, which a kill cut
            return
