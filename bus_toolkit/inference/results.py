"""Results as people print them in a notebook: plain lists and dicts that are shown as a table or as pictures.

Names, texts and captions are of others: on the page they are text, whatever they hold.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bus_toolkit.safe_text import one_line

# A notebook keeps what it shows: a longer table is of no use to a reader (our choice).
_MOST_ROWS, _MOST_PICTURES = 50, 12
_DIGITS = 3


class Rows(list[dict[str, Any]]):
    """One dict an image or pair: a plain list, which a notebook shows as a table with a column a key."""

    def _repr_html_(self) -> str:
        columns = list(dict.fromkeys(key for row in self for key in row))
        return table(columns, [[shown(row.get(key)) for key in columns] for row in self])


class Hits(list[list[dict[str, Any]]]):
    """What was found for each query, best first: a plain list, which a notebook shows as a table with a row a query.

    Args:
        found: A list of hits a query.
        queries: The names of the queries, in order.
    """

    def __init__(self, found: Sequence[list[dict[str, Any]]], queries: Sequence[str]) -> None:
        super().__init__(found)
        self.queries = list(queries)

    def _repr_html_(self) -> str:
        most = max((len(hits) for hits in self), default=0)
        columns = ["query", *(f"{place}." for place in range(1, most + 1))]
        rows = [[text(query), *map(_hit, hits)] for query, hits in zip(self.queries, self, strict=False)]
        return table(columns, [row + [""] * (len(columns) - len(row)) for row in rows])


class BothWays(dict[str, Hits]):
    """The hits of each direction: a plain dict, which a notebook shows as a table each."""

    def _repr_html_(self) -> str:
        return "".join(f"<p><b>{text(way)}</b></p>{hits._repr_html_()}" for way, hits in self.items())


class Pictures(list[Any]):
    """Explanations: a plain list, which a notebook shows as their pictures; one picture of several is shown once."""

    def _repr_html_(self) -> str:
        drawn: dict[bytes, str] = {}
        for entry in self:
            png, title = entry._repr_png_(), f"{entry.get('image')}: {entry.get('text') or 'without a text'}"
            if png is not None:
                drawn.setdefault(png, title)
        figures = [_figure(png, title) for png, title in list(drawn.items())[:_MOST_PICTURES]]
        return "".join(figures) + _more(len(drawn) - len(figures), "pictures") or text(self)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of HTML; its head is escaped here, its cells are HTML already."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[:_MOST_ROWS])
    more = _more(len(rows) - _MOST_ROWS, "rows")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def text(value: object) -> str:
    """Return a text of others as HTML that shows it: in one line, without effect."""
    return escape(one_line(value))


def shown(value: Any) -> str:
    """Return one value of a result as HTML: numbers rounded, the entries of a list in lines of their own."""
    if isinstance(value, float):
        return f"{value:.{_DIGITS}f}"
    if isinstance(value, Mapping):
        return _hit(value)
    if isinstance(value, list | tuple):
        mark = "<br>" if any(isinstance(entry, Mapping) for entry in value) else ", "
        return mark.join(map(shown, value))
    return "" if value is None else text(value)


def _hit(hit: Mapping[str, Any]) -> str:
    """Return one hit: its name, then its numbers."""
    names = [shown(value) for key, value in hit.items() if isinstance(value, str)]
    numbers = [f"{text(key)} {shown(value)}" for key, value in hit.items() if isinstance(value, float)]
    return "<br>".join([" ".join(names), f"<small>{', '.join(numbers)}</small>"]) if numbers else " ".join(names)


def _figure(png: bytes, title: str) -> str:
    data = b64encode(png).decode("ascii")
    return f'<img style="max-width:100%" alt="Kept patches of {text(title)}" src="data:image/png;base64,{data}">'


def _more(count: int, what: str) -> str:
    return f"<p>and {count} more {what}</p>" if count > 0 else ""
