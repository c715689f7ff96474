"""The page of a run: everything that its folder says, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bus_toolkit.run_page.charts import figure_charts, loss_charts, metric_charts, not_drawn, token_charts
from bus_toolkit.run_page.folder import PAGE, RunFolder
from bus_toolkit.run_page.tables import bad_samples, environment_table, record_table, result_tables, token_table
from bus_toolkit.visualization.html import shown, whole_page
from bus_toolkit.visualization.kept_stages import KEPT_SCRIPT, KEPT_STYLE, kept_section
from bus_toolkit.visualization.svg_chart import CHART_STYLE, number
from bus_toolkit.writing import write_whole

PAGE_STYLE = """
a { color: var(--accent); }
pre { overflow-x: auto; padding: 0.5rem; background: var(--band); }
summary { cursor: pointer; font-weight: 600; }
main > section { margin: 2rem 0; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: 0.2rem; }
h1, .path { overflow-wrap: anywhere; }
.path { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1rem 0; padding: 0; }
.tiles div { padding: 0.5rem 0.9rem; border-radius: 8px; background: var(--band); }
.tiles dt { color: var(--soft); font-size: 0.8rem; }
.tiles dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
.wide { overflow-x: auto; max-width: 100%; margin: 0.75rem 0; }
.wide:focus-visible, pre:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tbody th { font-weight: normal; }
#environment + .wide tbody th { white-space: nowrap; }
header .wide td, #environment + .wide td { overflow-wrap: anywhere; }
thead th { background: var(--band); }
pre { max-height: 40rem; overflow: auto; font-size: 0.8rem; }
.soft { color: var(--soft); }
"""


def write_page(run: RunFolder, out: Path | None = None) -> Path:
    """Write the page of a run, whole or not at all, and return its path: ``report.html`` in the folder by default."""
    path = out or run.path / PAGE
    write_whole(path, run_page(run))
    return path


def run_page(run: RunFolder) -> str:
    """Return the page of a run."""
    sections = [(title, body) for title, body in _sections(run) if body]
    links = "".join(f'<a href="#{anchor(title)}">{title}</a>' for title, _ in sections)
    parts = [
        f'<header><h1>{shown(run.name)}</h1><p class="path">{shown(run.path.absolute())}</p>{_tiles(run)}'
        f'<nav aria-label="Sections">{links}</nav></header><main>',
        *(section(title, body) for title, body in sections),
        "</main>",
    ]
    return whole_page(f"{run.name}: a run", CHART_STYLE + KEPT_STYLE + PAGE_STYLE, KEPT_SCRIPT, parts)


def section(title: str, body: str) -> str:
    """Return a part of a page under a heading of ours."""
    name = anchor(title)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'


def anchor(title: str) -> str:
    """Return the name by which a link finds a section."""
    return title.lower().replace(" ", "-")


def charts(drawn: Sequence[str]) -> str:
    """Return charts beside and below each other; empty without any."""
    shown_ones = [chart for chart in drawn if chart]
    return f'<div class="charts">{"".join(shown_ones)}</div>' if shown_ones else ""


def _sections(run: RunFolder) -> Iterator[tuple[str, str]]:
    runs = {run.name: run.scalars}
    names = {"val": "Last validation", "test": "Test", "study": "Test of the study"}
    results = "".join(
        f'<h3>{names[stage]}</h3><div class="tables">{"".join(result_tables(metrics))}</div>'
        for stage, metrics in run.results.items()
    )
    yield "Results", results + record_table(str(run.notes.get("recipe") or ""))
    yield "Losses", not_drawn(runs) + charts(loss_charts(runs))
    yield "Validations", charts(metric_charts(runs))
    yield "Tokens", token_table(run.scalars) + charts(token_charts(runs))
    yield "Steps", charts(figure_charts(runs))
    words = f'<p class="soft">{shown(run.kept_of)}. Patches that are gone are dark.</p>'
    yield "Kept patches", words + kept_section(run.kept) if run.kept else ""
    yield "Bad samples", bad_samples(run.notes["bad_samples"]) if "bad_samples" in run.notes else ""
    yield "Environment", environment_table(run.notes.get("environment"))
    text = f'<details><summary>config.yaml</summary><pre tabindex="0">{shown(run.config_text)}</pre></details>'
    yield "Config", text if run.config_text else ""


def _tiles(run: RunFolder) -> str:
    figures, notes = run.scalars.figures, run.notes
    tiles = [("State when written", str(notes["state"]))] if "state" in notes else []
    done, most = notes.get("iteration", run.scalars.last_step), notes.get("max_iterations")
    tiles.append(("Steps", f"{done} of {most}" if most else f"{done}"))
    if run.scalars.ends_drawn("loss"):
        tiles.append(("Loss", number(run.scalars.losses["loss"][-1][1])))
    elif "loss" in run.scalars.not_drawn:
        tiles.append(("Loss", "not finite"))
    if "samples_per_second" in figures:
        tiles.append(("Samples a second", number(figures["samples_per_second"][-1][1])))
    if "updated" in notes:
        tiles.append(("Written", str(notes["updated"])))
    return f'<dl class="tiles">{"".join(f"<div><dt>{shown(k)}</dt><dd>{shown(v)}</dd></div>" for k, v in tiles)}</dl>'
