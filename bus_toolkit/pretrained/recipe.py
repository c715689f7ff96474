"""What a saved model keeps of its training: the config as a record, and the results of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.json_text import load_json

_RESULTS = ("report/test/results.json", "report/val/results.json", "result.json")
_ON = {"report/test": "test", "report/val": "validation", "": "test"}
_OF_THE_MACHINE = ("work_dir", "load_from", "resume", "launcher")


@dataclass(frozen=True)
class Results:
    """Metrics of a run by name, and the split that they were measured on."""

    metrics: Mapping[str, float]
    split: str


def training_record(cfg: Any) -> Any:
    """Return the config of a training without places on the machine that it ran on.

    Of an absolute path the last part stays; the name of a user or of a project of others is no part of a recipe.
    """
    record = _without_places(cfg)
    return {key: value for key, value in record.items() if key not in _OF_THE_MACHINE}


def results_of(run: Path | None) -> Results | None:
    """Return the results that a run has written, of its test before those of its validation; ``None`` without any."""
    for name in _RESULTS if run is not None else ():
        file = run / name  # type: ignore[operator]
        try:
            held = load_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        metrics = held.get("metrics") if isinstance(held, dict) else None
        if isinstance(metrics, dict):
            numbers = {str(key): float(value) for key, value in metrics.items() if isinstance(value, int | float)}
            return Results(numbers, _ON[str(Path(name).parent).removeprefix(".")])
    return None


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_places(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_places(value) for value in node]
    if isinstance(node, str) and node.startswith(("/", "~")) and "\n" not in node:
        return Path(node).name
    return node
