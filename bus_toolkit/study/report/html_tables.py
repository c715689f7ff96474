"""The tables of the leaderboard page; all names are escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

from bus_toolkit.study.report.cell_text import NOTHING
from bus_toolkit.study.report.columns import COLUMNS, Column
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row

_NUMBER = re.compile(r"(?:x )?([-+]?\d+(?:\.\d+)?)(?!\S)")
"""A number, or a factor, that a blank or nothing follows."""


def text_table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts; readers sort a column by the numbers with which all of its texts begin, if they do."""
    columns = [_sortable(column) for column in zip(*rows, strict=True)]
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    return _table("", heads, body)


def _sortable(column: Sequence[str]) -> list[str]:
    """Return the cells of a column. As texts 0.5 would be before 0.25, since 5 is less than 25 to a browser."""
    numbers = [_NUMBER.match(cell) for cell in column]
    if not all(number or cell == NOTHING for number, cell in zip(numbers, column, strict=True)):
        return [f"<td>{escape(cell)}</td>" for cell in column]
    return [
        f'<td data-value="{number[1] if number else ""}">{escape(cell)}</td>'
        for number, cell in zip(numbers, column, strict=True)
    ]


def results_table(panels: Sequence[Panel]) -> str:
    """Return the table of all arms; readers sort it by the numbers that the columns name, and filter it."""
    rows = []
    for panel in panels:
        for row in panel.rows:
            name = ' class="reference"' if row.is_reference else ""
            data = {"task": panel.name, "keep": f"{panel.keep:g}", "role": row.role.value}
            attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
            rows.append(f"<tr{name}{attributes}>{''.join(_cell(column, panel, row) for column in COLUMNS)}</tr>")
    return _table(' id="board"', (column.head for column in COLUMNS), "\n".join(rows))


def filters() -> str:
    """Return the filters of the results; the script shows and fills them."""
    names = (("task", "task"), ("keep", "keep"), ("role", "what it is"))
    selects = [
        f'<label>{words} <select name="{name}"><option value="">all</option></select></label>' for name, words in names
    ]
    return f'<div class="controls" hidden>{"".join(selects)}</div>'


def _table(name: str, heads: Iterable[str], body: str) -> str:
    titles = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    table = f'<table{name} class="sortable"><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _cell(column: Column, panel: Panel, row: Row) -> str:
    text = escape(column.text(panel, row))
    if column.number is None:
        return f"<td>{text}</td>"
    number = column.number(panel, row)
    value = "" if number is None or math.isnan(number) else f"{number:.6g}"
    return f'<td data-value="{value}">{text}</td>'
