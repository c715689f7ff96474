"""What a saved model keeps of its training: the config as a record, and the results of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.json_text import finite_numbers, load_json
from bus_toolkit.pretrained.layout import TRAINING, is_saved_model
from bus_toolkit.registry import plain

RESULTS = "results.json"
"""Of a saved model: :class:`Results`."""
_OF_RUNS = ("report/test/results.json", "report/val/results.json", "result.json")
_ON = {"report/test": "test", "report/val": "validation", ".": "test"}
_OF_THE_MACHINE = ("work_dir", "resume", "launcher")


@dataclass(frozen=True)
class Results:
    """Metrics of a run by name, and the split that they were measured on."""

    metrics: Mapping[str, float]
    split: str


def saved_folder(cfg: Any) -> Path | None:
    """Return the folder of a saved model that a config was read from; ``None`` for any other."""
    folder = Path(cfg.filename).parent if cfg.filename else None
    return folder if folder is not None and is_saved_model(folder) else None


def training_of(cfg: Any) -> dict[str, Any]:
    """Return the record of the training of a loaded model: of its config, or the one that was saved with it."""
    folder = saved_folder(cfg)
    return training_record(plain(cfg.to_dict()) if folder is None else read_yaml(folder / TRAINING))


def training_record(cfg: Any) -> Any:
    """Return the config of a training without places on the machine that it ran on.

    Of an absolute path the last part stays; the name of a user or of a project of others is no part of a recipe.
    """
    record = _without_places(cfg)
    return {key: value for key, value in record.items() if key not in _OF_THE_MACHINE}


def results_of(run: Path | None) -> Results | None:
    """Return the results that are in the folder of a run or a saved model; ``None`` without any.

    Of a run those of its test come before those of its validation.
    """
    for name in (RESULTS, *_OF_RUNS) if run is not None else ():
        file = run / name  # type: ignore[operator]
        try:
            held = load_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        metrics = held.get("metrics") if isinstance(held, dict) else None
        if isinstance(metrics, dict):
            return Results(
                finite_numbers(metrics), str(held["split"]) if "split" in held else _ON[str(Path(name).parent)]
            )
    return None


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_places(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_places(value) for value in node]
    if isinstance(node, str) and node.startswith(("/", "~")) and "\n" not in node:
        return Path(node).name
    return node
