"""The Markdown tables of a study."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bus_toolkit.study.markdown import escape_markdown, markdown_table, spread_text
from bus_toolkit.study.report.cell_text import NOTHING, estimate_text
from bus_toolkit.study.report.columns import COLUMNS
from bus_toolkit.study.report.judged import Judged, Outcome
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row

_OF_PANEL = [column for column in COLUMNS if column.of_panel]


def panel_table(panel: Panel) -> str:
    """Return the table of a panel."""
    rows = [[escape_markdown(column.text(panel, row)) for column in _OF_PANEL] for row in panel.rows]
    return markdown_table([column.head for column in _OF_PANEL], rows)


def short_table(panels: Sequence[Panel]) -> str:
    """Return one table with a column for each panel: accuracy and interval; arms in the order of the first panel."""
    order = list(dict.fromkeys(row.arm for panel in panels for row in panel.rows))
    lines = []
    for arm in order:
        found = [panel.row(arm) for panel in panels]
        shown = next(row for row in found if row is not None)
        cells = [estimate_text(row.accuracy) + _mark(row) if row else NOTHING for row in found]
        lines.append([escape_markdown(shown.shown), shown.role.value, *cells])
    heads = ["arm", "what it is", *(f"{escape_markdown(p.name)}, keep {p.keep:g}, %" for p in panels)]
    return markdown_table(heads, lines)


def claims_list(judged: Sequence[Judged]) -> str:
    """Return the claims, those that were missed first."""
    lines = []
    for each in judged:
        outcome = each.outcome.value.capitalize()
        strong = f"**{outcome}**" if each.outcome is Outcome.MISSED else outcome
        lines.append(f"- {strong}: {escape_markdown(each.claim.says)}: {escape_markdown(each.figures)}.")
    return "\n".join(lines)


def times_table(panels: Iterable[Panel]) -> str:
    """Return how long each arm took to the unpruned arm's end quality; empty if nothing can be said."""
    lines = []
    for panel in panels:
        for row in panel.rows:
            time = row.time
            if time is None or not time.seeds:
                continue
            quality = statistics.fmean(time.quality.values())
            reached = f"{len(time.macs)} of {len(time.seeds)}"
            cells = [escape_markdown(panel.name), f"{panel.keep:g}", escape_markdown(row.shown), f"{quality:.1f}"]
            lines.append([*cells, reached, _ratios(time.seconds.values()), _ratios(time.macs.values())])
    heads = ("task", "keep", "arm", "quality to reach, % of val", "seeds that reached it", "seconds", "MACs")
    return markdown_table(heads, lines) if lines else ""


def _mark(row: Row) -> str:
    return " (undertrained)" if row.is_undertrained else ""


def _ratios(values: Iterable[float]) -> str:
    ratios = spread_text(list(values), 2)
    return f"x {ratios}" if ratios else NOTHING
