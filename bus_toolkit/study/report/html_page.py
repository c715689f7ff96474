"""The leaderboard as one static page: no network, sortable, readable without scripts; all names are escaped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from html import escape

from bus_toolkit.study.report.advice import ADVICE_HEADS, advice_row, advice_text, all_advice
from bus_toolkit.study.report.columns import COLUMNS, Column
from bus_toolkit.study.report.figures import Drawn
from bus_toolkit.study.report.html_assets import SCRIPT, STYLE
from bus_toolkit.study.report.judged import Judged, Outcome
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.words import defined, how_to_read, in_short, machines, of_your_own, sizes


def leaderboard_page(
    panels: Sequence[Panel], judged: Sequence[Judged], figures: Sequence[Drawn], settings: ReportSettings
) -> str:
    """Return the page.

    Args:
        panels: What the table shows.
        judged: The study's claims.
        figures: What was drawn.
        settings: Title, names, notes.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    notes = [*how_to_read(settings), *settings.notes, *sizes(panels), *machines(panels)]
    sentence, *codes = of_your_own(settings)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(settings.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(settings.title)}</h1>",
            f"<section><ul>{_items(in_short(panels, settings))}</ul></section>",
            f"<section><h2>Words</h2><ul>{_items(defined(settings.words))}</ul></section>" if settings.words else "",
            _advice(panels, settings),
            _claims(judged),
            f'<h2>All results</h2>\n{_controls()}\n<div class="wide">{_table(panels)}</div>',
            f"<section><h2>How to read it</h2><ul>{_items(notes)}</ul></section>",
            f'<h2>Plots</h2>\n<div class="figures">{_figures(figures)}</div>',
            f"<section><h2>A selector of your own</h2><p>{escape(sentence)}</p>",
            *(f"<pre>{escape(code)}</pre>" for code in codes),
            f"</section>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _claims(judged: Sequence[Judged]) -> str:
    if not judged:
        return ""
    lines, not_run = [], []
    for each in judged:
        if each.outcome is Outcome.NOT_RUN:
            not_run.append(f"{each.claim.says}: {each.figures}.")
            continue
        name = "missed" if each.outcome is Outcome.MISSED else ""
        words = f"{each.outcome.value.capitalize()}: {each.claim.says}: {each.figures}."
        lines.append(f'<li class="{name}">{escape(words)}</li>')
    head = f"Not run: {len(not_run)} of {len(judged)}"
    rest = f"<details><summary>{head}</summary><ul>{_items(not_run)}</ul></details>" if not_run else ""
    return f"<section><h2>What was aimed at</h2><ul>{''.join(lines)}</ul>{rest}</section>"


def _advice(panels: Sequence[Panel], settings: ReportSettings) -> str:
    advised = all_advice(panels)
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in ADVICE_HEADS)
    rows = "\n".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in advice_row(advice, settings))}</tr>" for advice in advised
    )
    parts = [f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table></div>']
    for advice in advised:
        head = f"{advice.panel.name}, keep {advice.panel.keep:g}: {advice.take.shown}"
        first, *rest = advice_text(advice, settings)
        shown = " open" if advice.panel.keep == settings.keep else ""
        parts.append(
            f"<details{shown}><summary>{escape(head)}</summary><p>{escape(first)}</p><ul>{_items(rest)}</ul></details>"
        )
    return f"<h2>Which to take</h2>{''.join(parts)}"


def _controls() -> str:
    """Return the filters; the script shows and fills them."""
    names = (("task", "task"), ("keep", "keep"), ("role", "what it is"))
    selects = [
        f'<label>{words} <select name="{name}"><option value="">all</option></select></label>' for name, words in names
    ]
    return f'<div class="controls" hidden>{"".join(selects)}</div>'


def _table(panels: Sequence[Panel]) -> str:
    heads = "".join(f'<th scope="col">{escape(column.head)}</th>' for column in COLUMNS)
    rows = []
    for panel in panels:
        for row in panel.rows:
            name = ' class="reference"' if row.is_reference else ""
            data = {"task": panel.name, "keep": f"{panel.keep:g}", "role": row.role.value}
            attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
            rows.append(f"<tr{name}{attributes}>{''.join(_cell(column, panel, row) for column in COLUMNS)}</tr>")
    body = "\n".join(rows)
    return f'<table id="board"><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table>'


def _cell(column: Column, panel: Panel, row: Row) -> str:
    text = escape(column.text(panel, row))
    if column.number is None:
        return f"<td>{text}</td>"
    number = column.number(panel, row)
    value = "" if number is None or math.isnan(number) else f"{number:.6g}"
    return f'<td data-value="{value}">{text}</td>'


def _figures(figures: Sequence[Drawn]) -> str:
    return "\n".join(
        f"<figure>{_inline(each.svg.read_text(encoding='utf-8'), f'f{i}')}"
        f"<figcaption>{escape(each.words)}</figcaption></figure>"
        for i, each in enumerate(figures)
    )


def _inline(svg: str, prefix: str) -> str:
    """Return an SVG of matplotlib for the inside of a page; a prefix keeps its names apart from other figures'."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    return re.sub(r"url\(#", f"url(#{prefix}-", svg)


def _items(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
