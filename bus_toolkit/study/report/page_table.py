"""A table of a study's YAML, filled with its results."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.markdown import escape_markdown
from bus_toolkit.study.report.markdown_tables import arms_table
from bus_toolkit.study.report.page_columns import column_of
from bus_toolkit.study.report.panels import Panel, matching
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.tables import PageColumn, PageTable


def page_table(table: PageTable, panels: Sequence[Panel], settings: ReportSettings) -> str:
    """Return a table in Markdown; what all columns have in common is above it, heads say what differs.

    Raises:
        ConfigError: A task has no questions of a kind, or several kinds where none is given.
    """
    figures = [column_of(column, settings) for column in table.columns]
    words = [
        (column.name, f"keep {column.keep:g}", figure.head)
        for column, figure in zip(table.columns, figures, strict=True)
    ]
    differs = [len(set(of_all)) > 1 for of_all in zip(*words, strict=True)]
    common = ", ".join(word for word, own in zip(words[0], differs, strict=True) if not own)
    heads = [", ".join(word for word, own in zip(of_one, differs, strict=True) if own) for of_one in words]
    shown = [_panel(column, panels, table) for column in table.columns]
    filled = arms_table(table.arms, list(zip(heads, shown, figures, strict=True)), settings)
    return f"{escape_markdown(_capital(common))}:\n\n{filled}" if common else filled


def _panel(column: PageColumn, panels: Sequence[Panel], table: PageTable) -> Panel | None:
    """Return the panel of a column; ``None`` if nothing of it has run."""
    kinds = sorted({panel.kind for panel in panels if panel.task == column.task})
    if kinds and column.kind not in (kinds if len(kinds) > 1 else ("", *kinds)):
        raise ConfigError(
            f"{table.location}.columns: kind must be one of {', '.join(kinds)} for the task {column.task}, got "
            f"{column.kind!r}. Change it."
        )
    return next(iter(matching(panels, column.task, column.kind, column.keep)), None)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
