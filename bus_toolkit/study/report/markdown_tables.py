"""The Markdown tables of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bus_toolkit.study.markdown import escape_markdown, markdown_table
from bus_toolkit.study.report.cell_text import NOT_RUN, NOTHING
from bus_toolkit.study.report.columns import COLUMNS, MARKED_ACCURACY, Column
from bus_toolkit.study.report.judged import Judged, Outcome
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.times import TIMES_HEADS, times_rows

_OF_PANEL = [column for column in COLUMNS if column.of_panel]
_MAY_BE_COMMON = ("steps", "seeds")


def panel_table(panel: Panel) -> str:
    """Return the table of a panel; columns that no row fills are left out, and what all rows share is above it."""
    texts = [(column.head, [column.text(panel, row) for row in panel.rows]) for column in _OF_PANEL]
    filled = [(head, cells) for head, cells in texts if {*cells} - {NOTHING, ""}]
    common = [(head, cells[0]) for head, cells in filled if head in _MAY_BE_COMMON and len({*cells}) == 1]
    shown = [(head, cells) for head, cells in filled if head not in dict(common)]
    rows = zip(*([escape_markdown(cell) for cell in cells] for _, cells in shown), strict=True)
    table = markdown_table([head for head, _ in shown], [list(row) for row in rows])
    words = ", ".join(f"{head} {escape_markdown(cell)}" for head, cell in common)
    return f"All rows: {words}.\n\n{table}" if words else table


def short_tables(panels: Sequence[Panel], settings: ReportSettings) -> list[str]:
    """Return a table for each task and keep ratio: accuracy and interval of each kind of question, under a line.

    Args:
        panels: At most one a kind of question.
        settings: The arms' names for readers.
    """
    grouped: dict[tuple[str, float], list[Panel]] = {}
    for panel in panels:
        grouped.setdefault((panel.task, panel.keep), []).append(panel)
    parts = []
    for (task, keep), of_task in grouped.items():
        arms = dict.fromkeys(row.arm for panel in of_task for row in panel.rows)
        columns = [
            ("accuracy, %" if panel.name == task else f"{panel.kind}, %", panel, MARKED_ACCURACY) for panel in of_task
        ]
        parts += [f"{escape_markdown(task)}, keep {keep:g}:", arms_table(arms, columns, settings)]
    return parts


def arms_table(
    arms: Iterable[str], columns: Sequence[tuple[str, Panel | None, Column]], settings: ReportSettings
) -> str:
    """Return a table with a row for each arm.

    Args:
        arms: In the order of the rows.
        columns: Head, panel and figure of each; ``None`` for a panel that has not run.
        settings: The arms' names for readers.
    """
    lines = []
    for arm in arms:
        rows = [panel.row(arm) if panel is not None else None for _, panel, _ in columns]
        role = next((row.role.value for row in rows if row is not None), NOTHING)
        cells = [
            NOT_RUN if panel is None or row is None else column.text(panel, row)
            for row, (_, panel, column) in zip(rows, columns, strict=True)
        ]
        lines.append([escape_markdown(cell) for cell in (settings.shown(arm), role, *cells)])
    heads = ("arm", "what it is", *(head for head, *_ in columns))
    return markdown_table([escape_markdown(head) for head in heads], lines)


def aims_list(judged: Sequence[Judged]) -> str:
    """Return the claims with a verdict, then in one line those without, and why."""
    run = [each for each in judged if each.outcome is not Outcome.NOT_RUN]
    rest = [f"{each.claim.says} ({each.figures})" for each in judged if each.outcome is Outcome.NOT_RUN]
    lines = [claims_list(run)] if run else []
    if rest:
        lines.append(f"- No verdict: {len(rest)} of {len(judged)}: {escape_markdown('; '.join(rest))}.")
    return "\n".join(lines)


def claims_list(judged: Sequence[Judged]) -> str:
    """Return the claims in their order."""
    lines = []
    for each in judged:
        outcome = each.outcome.value.capitalize()
        strong = f"**{outcome}**" if each.outcome is Outcome.MISSED else outcome
        lines.append(f"- {strong}: {escape_markdown(each.claim.says)}: {escape_markdown(each.figures)}.")
    return "\n".join(lines)


def times_table(panels: Iterable[Panel]) -> str:
    """Return how long each arm took to the unpruned arm's end quality; empty if nothing can be said."""
    rows = [[escape_markdown(cell) for cell in row] for row in times_rows(panels)]
    return markdown_table(TIMES_HEADS, rows) if rows else ""
