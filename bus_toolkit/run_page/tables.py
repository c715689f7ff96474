"""The tables of a run's page: results beside chance, figures on record, tokens, environment, bad samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from bus_toolkit.evaluation.report_tables import TABLES, other_table
from bus_toolkit.run_page.charts import passes
from bus_toolkit.shipped import figures_on_record
from bus_toolkit.visualization.html import shown, text_table
from bus_toolkit.visualization.scalars import Scalars
from bus_toolkit.visualization.svg_chart import number

_MOST_BAD = 200


def result_tables(metrics: Mapping[str, float]) -> list[str]:
    """Return a table a task, as at the end of a run, with what no skill would reach."""
    tables: list[Table | None] = []
    for task, maker in TABLES.items():
        tables.append(maker({k.removeprefix(f"{task}/"): v for k, v in metrics.items() if k.startswith(f"{task}/")}))
    made = {task for task, table in zip(TABLES, tables, strict=True) if table is not None}
    rest = {key: value for key, value in metrics.items() if key.split("/")[0] not in made}
    return [_of_rich(table) for table in (*tables, other_table(rest)) if table is not None]


def _of_rich(table: Table) -> str:
    heads = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    return text_table(heads, list(rows), caption=str(table.title or ""))


def record_table(recipe: str) -> str:
    """Return what the project has on record of a shipped recipe and of those it compares it with; empty without."""
    rows = figures_on_record(recipe) if recipe else []
    if not rows:
        return ""
    names = list(dict.fromkeys(name for _, _, metrics in rows for name in metrics))
    cells = [
        [f"{model} (this recipe)" if model == recipe else model, data]
        + [number(metrics[name]) if name in metrics else "-" for name in names]
        for model, data, metrics in rows
    ]
    return text_table(["recipe", "data", *names], cells, caption="On record (RESULTS.md), in percent")


def token_table(scalars: Scalars) -> str:
    """Return images a step and tokens of an image after each stage, for each kind of pass, as logged last."""
    rows = []
    for kind, stages in passes(scalars).items():
        images = scalars.figures[f"tokens_{kind}_rows"][-1][1]
        words = ", ".join(f"{stage.replace('_', ' ')}: {points[-1][1]:.0f}" for stage, points in stages.items())
        rows.append([kind, f"{images:.0f}", words])
    return text_table(["encoded under", "images a step", "tokens of one after each stage"], rows) if rows else ""


def environment_table(environment: Any) -> str:
    """Return versions and machine; empty if they were not noted."""
    rows = list(environment.items()) if isinstance(environment, dict) else []
    return text_table(["what", "value"], rows) if rows else ""


def bad_samples(node: Any) -> str:
    """Return which rows of which data sets could not be used."""
    found = list(_bad(node))
    if not found:
        return "<p>None has been met.</p>"
    return "".join(
        f"<p>{shown(name)}: {len(rows)} of {size} rows. The log names the file and the reason of each.</p>"
        f"<details><summary>Rows</summary><p>{', '.join(map(str, rows[:_MOST_BAD]))}"
        f"{' ...' if len(rows) > _MOST_BAD else ''}</p></details>"
        for name, size, rows in found
    )


def _bad(node: Any) -> Iterator[tuple[str, int, Sequence[int]]]:
    for entry in node if isinstance(node, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("rows"), list) and entry["rows"]:
            rows = [row for row in entry["rows"] if isinstance(row, int)]
            size = entry.get("size")
            yield str(entry.get("name")), size if isinstance(size, int) else len(rows), rows
