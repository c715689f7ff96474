"""Whether two trainings ended alike: their last checkpoints, and the figures of every step and evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

# What differs between any two runs, killed or not.
_OF_THE_CLOCK = ("time", "memory", "samples_per_second", "data_time", "seconds", "data_wait")
_OF_THE_RUN = ("experiment_name", "time", "work_dir", "cfg", "run", "last_ckpt", "keep_ckpt_ids")


def differences(folder: Path, reference: Path) -> list[str]:
    """Return what differs between two work dirs of finished trainings, a line each."""
    ends, wanted = (last_checkpoint(each) for each in (folder, reference))
    found = list(_differences("", ends, wanted))
    figures, others = (logged(each) for each in (folder, reference))
    found += [f"log: step {step} is missing" for step in sorted(others.keys() - figures.keys())]
    for step in sorted(figures.keys() & others.keys()):
        found += _differences(f"log: step {step}", figures[step], others[step])
    return found


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """Return weights, optimizer, schedules and progress of the newest checkpoint."""
    newest = max(folder.glob("iter_*.pth"), key=lambda path: int(path.stem.removeprefix("iter_")))
    held = torch.load(newest, map_location="cpu", weights_only=False)
    kept = {key: held[key] for key in ("state_dict", "optimizer", "param_schedulers") if key in held}
    return {**kept, "epoch": held["meta"]["epoch"], "iter": held["meta"]["iter"]}


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


def _differences(place: str, got: Any, wanted: Any) -> Iterator[str]:
    if isinstance(wanted, torch.Tensor):
        if not (isinstance(got, torch.Tensor) and got.dtype == wanted.dtype and torch.equal(got, wanted)):
            yield f"{place}: another tensor"
    elif isinstance(wanted, Mapping):
        for key in wanted.keys() | got.keys():
            if key in _OF_THE_RUN:
                continue
            if key not in wanted or key not in got:
                yield f"{place}.{key}: in one of them only"
            else:
                yield from _differences(f"{place}.{key}", got[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        if len(got) != len(wanted):
            yield f"{place}: {len(got)} entries, not {len(wanted)}"
        for number, (one, other) in enumerate(zip(got, wanted, strict=False)):
            yield from _differences(f"{place}.{number}", one, other)
    elif got != wanted and not (got != got and wanted != wanted):
        yield f"{place}: {got!r}, not {wanted!r}"
