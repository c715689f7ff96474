"""Turn a dictionary of metrics into the tables at the end of a run, and into a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from bus_toolkit.evaluation.report_tables import TABLES, Metrics, other_table
from bus_toolkit.json_text import dump_json
from bus_toolkit.writing import write_whole


def render_report(metrics: Metrics, *, title: str, note: str | None = None) -> Group:
    """Return the tables of all metrics, grouped by task; only what was measured is shown.

    Args:
        metrics: Fractions in [0, 1], CIDEr-D in [0, 10] and counts, by key (``<task>/<name>``).
        title: Line above the tables.
        note: Line below them: what the figures do not show.
    """
    tables = {task: table for task, maker in TABLES.items() if (table := maker(_task(metrics, task))) is not None}
    other = {
        key: value
        for key, value in metrics.items()
        if key.split("/")[0] not in tables and isinstance(value, int | float)
    }
    parts = [*tables.values(), other_table(other)]
    shown = [Padding(table, (1, 0, 0, 0)) for table in parts if table is not None]
    body: list[RenderableType] = [*shown] or [Text("No metric was measured.")]
    return Group(
        Text(title, style="bold"), *body, *([Padding(Text(note, style="italic"), (1, 0, 0, 0))] if note else [])
    )


def write_results(path: Path, payload: Mapping[str, Any]) -> Path:
    """Write ``payload`` as JSON in one step: a reader sees the old file or the new one, never a part.

    JSON has no NaN and no infinity; they become ``null``.
    """
    write_whole(path, f"{dump_json(finite(payload), indent=2, default=float)}\n")
    return path


def finite(value: Any) -> Any:  # any JSON value
    """Return a JSON value with ``None`` for each NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, Real) and not math.isfinite(value) else value


def _task(metrics: Metrics, task: str) -> dict[str, float]:
    return {key.removeprefix(f"{task}/"): value for key, value in metrics.items() if key.startswith(f"{task}/")}
