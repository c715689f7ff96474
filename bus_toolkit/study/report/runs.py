"""The runs of a study as they are committed: ``runs.jsonl``, the ``result.json`` of each run in a line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json, finite_numbers, parse_json
from bus_toolkit.study.stages import in_order
from bus_toolkit.text_files import read_utf8, split_lines
from bus_toolkit.writing import write_whole

FILE = "runs.jsonl"
RunKey = tuple[str, str, float, int]
"""Task, arm, keep ratio and seed."""
_DIGITS = 6
_OF_POINT = ("step", "seconds", "macs")


@dataclass(frozen=True)
class CurvePoint:
    """A validation during a training.

    Attributes:
        step: Optimizer steps done.
        seconds: Of training until then.
        macs: Of training until then.
        val: The validation's metrics.
    """

    step: float
    seconds: float
    macs: float
    val: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """One trained and tested arm.

    Attributes:
        task: What it was trained for.
        arm: The system.
        keep: The keep ratio of the comparison; 1 for an arm without one.
        seed: Of the run.
        macs: Of one text with one image through the whole model at inference.
        shared_macs: Those of them that all texts of an image share; ``None`` if unknown.
        step_macs: Of a training step, a text.
        target_macs: What ``macs`` was to be; ``None`` for an arm that sets the target or has none.
        tokens: Visual tokens after each stage, in their order.
        steps: Of the training.
        curve: Validations during the training.
        machine: What it ran on.
        properties: What its parts need (``properties.py``); empty if unknown.
        line: The whole line as committed.
    """

    task: str
    arm: str
    keep: float
    seed: int
    macs: float
    shared_macs: float | None
    step_macs: float | None
    target_macs: float | None
    tokens: Mapping[str, float]
    steps: float
    curve: tuple[CurvePoint, ...]
    machine: Mapping[str, Any]
    properties: Mapping[str, Any]
    line: Mapping[str, Any] = field(repr=False)

    @property
    def key(self) -> RunKey:
        """What makes it this run of the study."""
        return (self.task, self.arm, self.keep, self.seed)


def run_of(line: Any, location: str) -> Run:
    """Return the run of a ``result.json``.

    Raises:
        DataError: A field is missing or of the wrong kind.
    """
    try:
        train = line.get("train") or {}
        return Run(
            task=str(line["task"]),
            arm=str(line["arm"]),
            keep=float(line["keep"]),
            seed=int(line["seed"]),
            macs=_positive(line["macs"]["inference"]),
            shared_macs=_number(line["macs"].get("shared")),
            step_macs=_number(line["macs"].get("step")),
            target_macs=_number(line.get("target_macs")),
            tokens=in_order({str(stage): float(count) for stage, count in (line.get("tokens") or {}).items()}),
            steps=float(train.get("steps") or 0),
            curve=tuple(_point(point) for point in _points(line.get("curve") or ())),
            # What else ran meanwhile is no part of the machine.
            machine={str(key): value for key, value in (line.get("machine") or {}).items() if key != "load"},
            properties=dict(line.get("properties") or {}),
            line=line,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{location}: is no result of a study, {type(error).__name__}: {error}. It needs task, arm, keep, seed and "
            "macs.inference. Run it again with bus-toolkit study."
        ) from error


def _points(curve: Any) -> list[Any]:
    """Return the points of a curve that is a list of them, or one column a figure as in ``runs.jsonl``."""
    if not isinstance(curve, Mapping):
        return list(curve)
    places = range(len(curve["step"]))
    return [
        {
            **{key: curve[key][i] for key in _OF_POINT},
            "val": {key: values[i] for key, values in curve["val"].items() if values[i] is not None},
        }
        for i in places
    ]


def _columns(curve: Any) -> dict[str, Any]:
    """Return a curve with one column a figure, so that names are there once; ``None`` where a point has none."""
    points = [{**point, "val": {k: v for k, v in point["val"].items() if not _is_nan(v)}} for point in _points(curve)]
    names = sorted({name for point in points for name in point["val"]})
    val = {name: [point["val"].get(name) for point in points] for name in names}
    return {**{key: [point[key] for point in points] for key in _OF_POINT}, "val": val}


def _point(point: Any) -> CurvePoint:
    values = finite_numbers(point["val"])
    return CurvePoint(float(point["step"]), float(point["seconds"]), float(point["macs"]), values)


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"macs.inference must be above 0, got {value}")
    return number


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def read_runs(folder: Path) -> dict[RunKey, Run]:
    """Return the committed runs; empty if there are none yet.

    Raises:
        DataError: A line is no result, or a run is there twice.
    """
    file = folder / FILE
    runs: dict[RunKey, Run] = {}
    if not file.is_file():
        return runs
    for number, text in enumerate(split_lines(read_utf8(file)), start=1):
        location = f"{file}, line {number}"
        try:
            run = run_of(parse_json(text), location)
        except ValueError as error:
            raise DataError(f"{location}: is no JSON object: {error}. Collect the runs again.") from error
        if run.key in runs:
            raise DataError(f"{location}: {describe_run(run.key)} is there twice. Remove one of the lines.")
        runs[run.key] = run
    return runs


def write_runs(folder: Path, runs: Iterable[Run]) -> None:
    """Write ``runs.jsonl``, in the order of task, arm, keep ratio and seed; see :func:`committed_line`."""
    lines = [committed_line(run) for run in sorted(runs, key=lambda run: run.key)]
    write_whole(folder / FILE, "".join(f"{line}\n" for line in lines))


def committed_line(run: Run) -> str:
    """Return the line of a run in ``runs.jsonl``, without its end: numbers have six digits, curves are by column.

    The keep ratio, which names the run, is as it was; what is no finite number is null, since JSON has none.
    """
    line = _rounded({**run.line, "curve": _columns(run.line.get("curve") or ())})
    line["keep"] = run.line["keep"]
    return dump_json(line, sort_keys=True, separators=(",", ":"), allow_nan=False)


def describe_run(key: RunKey) -> str:
    """Return how a run is named in messages."""
    task, arm, keep, seed = key
    return f"{arm} on {task} at keep {keep:g}, seed {seed}"


def _is_nan(value: Any) -> bool:
    """Return whether a value is a float that JSON cannot hold."""
    return isinstance(value, float) and not math.isfinite(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if _is_nan(value) else float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
