"""Several runs side by side: their curves in the same charts, the settings that differ, their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.run_page.charts import figure_charts, loss_charts, metric_charts, not_drawn, passes, token_charts
from bus_toolkit.run_page.folder import RunFolder
from bus_toolkit.run_page.page import PAGE_STYLE, charts, section
from bus_toolkit.run_page.tables import result_tables
from bus_toolkit.visualization.html import shown, text_table, whole_page
from bus_toolkit.visualization.svg_chart import CHART_STYLE, COLOURS, number

_OF_THE_PLACE = ("work_dir", "resume", "launcher")
_ABSENT = "(not set)"
_LONGEST = 200  # letters of a setting


def compare_page(runs: Sequence[RunFolder]) -> str:
    """Return the page.

    Raises:
        ConfigError: Less than two runs, more than there are colours, or one twice.
    """
    if not 2 <= len(runs) <= COLOURS:
        raise ConfigError(f"compare: takes 2 to {COLOURS} runs, as many as there are colours, got {len(runs)}.")
    named = distinct_names([run.path for run in runs])
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise ConfigError(f"compare: each run must be given once, got {twice} twice. Leave one out.")
    by_name = dict(zip(named, runs, strict=True))
    parts = [f"<header><h1>{len(runs)} runs side by side</h1>{_runs(by_name)}</header><main>"]
    parts += [section(title, body) for title, body in _sections(by_name) if body]
    return whole_page("Runs side by side", CHART_STYLE + PAGE_STYLE, "", [*parts, "</main>"])


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return for each path what distinguishes it: without the folders that all begin and end with."""
    parts = [path.resolve().parts for path in paths]
    shortest = min(map(len, parts))
    start = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), shortest - 1)
    end = next((i for i in range(shortest - start) if len({part[-1 - i] for part in parts}) > 1), 0)
    return ["/".join(part[start : len(part) - end]) for part in parts]


def differing_settings(configs: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return a row a setting that is not the same in all configs: its key with dots, then its value in each."""
    flat = [dict(_leaves(config)) for config in configs.values()]
    keys = sorted({key for one in flat for key in one if key.split(".")[0] not in _OF_THE_PLACE})
    rows = [[key, *(one.get(key, _ABSENT) for one in flat)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = False
    for key, value in pairs:
        found = True
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
    if not found:
        text = str(node)
        yield path, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _runs(runs: Mapping[str, RunFolder]) -> str:
    rows = [
        [name, run.notes.get("state", "-"), run.notes.get("iteration", run.scalars.last_step), run.path.absolute()]
        for name, run in runs.items()
    ]
    return text_table(["run", "state when written", "steps", "folder"], rows, caption="Runs")


def _sections(runs: Mapping[str, RunFolder]) -> Iterator[tuple[str, str]]:
    curves = {name: run.scalars for name, run in runs.items()}
    yield "Results", "".join(_results(runs))
    rows = differing_settings({name: run.config for name, run in runs.items()})
    same = f'<p class="soft">{shown("The configs are the same, but for the folder.")}</p>'
    yield "Settings that differ", text_table(["setting", *runs], rows) if rows else same
    yield "Losses", not_drawn(curves) + charts(loss_charts(curves))
    yield "Validations", charts(metric_charts(curves))
    yield "Tokens", _tokens(runs) + charts(token_charts(curves))
    yield "Steps", charts(figure_charts(curves))


def _results(runs: Mapping[str, RunFolder]) -> Iterator[str]:
    for stage, words in (("val", "Last validation"), ("test", "Test"), ("study", "Test of the study")):
        metrics = [run.results.get(stage, {}) for run in runs.values()]
        keys = list(dict.fromkeys(key for one in metrics for key in one))
        rows = [[key, *(number(one[key]) if key in one else "-" for one in metrics)] for key in keys]
        if rows:
            yield text_table(["metric", *runs], rows, caption=words)
        for name, one in zip(runs, metrics, strict=True):
            if one:
                tables = f'<div class="tables">{"".join(result_tables(one))}</div>'
                yield f"<details><summary>{words} of {shown(name)}, beside chance</summary>{tables}</details>"


def _tokens(runs: Mapping[str, RunFolder]) -> str:
    found = [
        {
            f"{kind}: {stage}": points[-1][1]
            for kind, stages in passes(run.scalars).items()
            for stage, points in stages.items()
        }
        for run in runs.values()
    ]
    keys = list(dict.fromkeys(key for one in found for key in one))
    rows = [[key.replace("_", " "), *(f"{one[key]:.0f}" if key in one else "-" for one in found)] for key in keys]
    return text_table(["tokens after", *runs], rows) if rows else ""
