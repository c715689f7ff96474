"""What a run leaves in its folder, read as data of others: what is damaged or of another form is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import BusError, DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import finite_numbers, load_json
from bus_toolkit.runs_below import SAVED_MODEL, runs_below
from bus_toolkit.visualization.kept_stages import KeptStages
from bus_toolkit.visualization.scalars import Scalars

PAGE = "report.html"
NOTES, KEPT = "report/page.json", "report/kept.json"
"""What the hook notes for the page beside what every run writes: state and environment; kept patches of samples."""
_CONFIG = "config.yaml"


@dataclass(frozen=True)
class RunFolder:
    """A run.

    Attributes:
        path: Its folder.
        scalars: Its curves.
        notes: Of ``page.json``: ``iteration``, ``max_iterations``, ``state``, ``updated``, ``environment``,
            ``bad_samples``, ``recipe``; empty for a run without it.
        results: Metrics by where they come from, such as ``val`` and ``test``.
        kept: Samples with the patches that each stage left.
        kept_of: What evaluation these are of.
        config: The resolved config, empty without one.
        config_text: Its file.
    """

    path: Path
    scalars: Scalars
    notes: Mapping[str, Any]
    results: Mapping[str, Mapping[str, float]]
    kept: tuple[KeptStages, ...]
    kept_of: str
    config: Mapping[str, Any]
    config_text: str

    @property
    def name(self) -> str:
        """How pages call it: its path below ``work_dirs``, elsewhere the last two folders."""
        parts = self.path.absolute().parts
        below = parts[parts.index("work_dirs") + 1 :] if "work_dirs" in parts else ()
        return "/".join(below or parts[-2:])


def read_run(folder: str | Path, scalars: Scalars | None = None) -> RunFolder:
    """Read a run.

    Args:
        folder: Its work dir.
        scalars: Its curves, if they are read already.

    Raises:
        DataError: It is no folder, nothing of a run is in it, or it is a saved model.
    """
    path = expand_home(folder)
    if not path.is_dir():
        got = "a file" if path.exists() else "no such folder"
        raise DataError(f"{folder}: must be the folder of a run, got {got}. Give the work dir of a training.")
    files = scalar_files(path)
    if not files and not any((path / name).is_file() for name in (_CONFIG, NOTES)):
        below = runs_below(path, saved_models=False)
        raise DataError(
            f"{folder}: no run is in this folder, neither {_CONFIG} nor <time>/vis_data/scalars.json. Give the "
            f"work dir of a training (./work_dirs/<config name>, unless --work-dir was given).{below}"
        )
    if not files and (path / SAVED_MODEL).is_file():
        raise DataError(
            f"{folder}: must be the folder of a run, got a saved model, which holds nothing of its training but the "
            "card (README.md). Give the work dir that it was saved from."
        )
    notes, kept = _json_mapping(path / NOTES), _json_mapping(path / KEPT)
    text = _text(path / _CONFIG)
    return RunFolder(
        path=path,
        scalars=Scalars(files) if scalars is None else scalars,
        notes=notes,
        results=_results(path, notes),
        kept=tuple(_kept(kept.get("samples"))),
        kept_of=str(kept.get("of", "")),
        config=_config(path / _CONFIG),
        config_text=text,
    )


def scalar_files(folder: Path) -> list[Path]:
    """Return the logged figures of the last training in a folder, of a resumed one those of each of its starts.

    A start whose config says that it does not resume begins a training; evaluations log no steps and count for
    nothing.
    """
    files: list[Path] = []
    for path in sorted(folder.glob("*/vis_data/scalars.json"), reverse=True):
        if '"iter"' not in _text(path, most=1 << 16):
            continue
        files.append(path)
        if not _resumes(path.parents[1]):
            break
    return files[::-1]


def _resumes(start: Path) -> bool:
    lines = _text(start / _CONFIG).splitlines()
    return any(line.startswith("resume:") and line.partition(":")[2].strip() != "false" for line in lines)


def _results(path: Path, notes: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    results = {
        stage: _numbers(_json_mapping(path / f"report/{stage}/results.json").get("metrics"))
        for stage in ("val", "test")
    }
    during = _numbers(notes.get("metrics"))
    results["val"] = during or results["val"]
    results["study"] = _numbers(_json_mapping(path / "result.json").get("metrics"))
    return {stage: metrics for stage, metrics in results.items() if metrics}


def _numbers(node: Any) -> dict[str, float]:
    return finite_numbers(node) if isinstance(node, dict) else {}


def _kept(node: Any) -> list[KeptStages]:
    found = []
    for entry in node if isinstance(node, list) else ():
        try:
            found.append(KeptStages.of_json(entry))
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
    return found


def _config(path: Path) -> Mapping[str, Any]:
    try:
        return dict(read_yaml(path)) if path.is_file() else {}
    except (BusError, OSError):
        return {}


def _json_mapping(path: Path) -> dict[str, Any]:
    try:
        content = load_json(_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path, most: int = -1) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except OSError:
        return ""
