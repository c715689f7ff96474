"""The leaderboard as one static page: no network, sortable, readable without scripts; all names are escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bus_toolkit.study.report.advice import Verdict, all_advice
from bus_toolkit.study.report.advice_table import ADVICE_HEADS, advice_rows, definitions, lists_without_method
from bus_toolkit.study.report.advice_text import advice_text
from bus_toolkit.study.report.figures import Drawn
from bus_toolkit.study.report.html_assets import SCRIPT, STYLE
from bus_toolkit.study.report.html_tables import filters, results_table, text_table
from bus_toolkit.study.report.judged import Judged, Outcome
from bus_toolkit.study.report.markdown_pages import LEADERBOARD, relative_link
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.times import TIMES_HEADS, TIMES_TITLE, TIMES_WORDS, times_rows
from bus_toolkit.study.report.words import defined, how_to_read, in_short, machines, of_your_own, sizes

_OPEN = 3
"""Reasons that are open when the page is; a reader opens the others."""


def leaderboard_page(
    panels: Sequence[Panel],
    judged: Sequence[Judged],
    figures: Sequence[Drawn],
    settings: ReportSettings,
    results: Path,
) -> str:
    """Return the page.

    Args:
        panels: What the table shows.
        judged: The study's claims.
        figures: What was drawn.
        settings: Title, names, notes.
        results: The folder that the page is in.
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
            f"<section><p>{_links(settings, results)}</p><ul>{_items(in_short(panels, settings))}</ul></section>",
            f"<section><h2>Words</h2><ul>{_items(defined(settings.words))}</ul></section>" if settings.words else "",
            _advice(panels, settings),
            _claims(judged),
            f"<h2>All results</h2>\n{filters()}\n{results_table(panels)}",
            _times(panels),
            f"<section><h2>How to read it</h2><ul>{_items(notes)}</ul></section>",
            f'<h2>Plots</h2>\n<div class="figures">{_figures(figures)}</div>',
            f"<section><h2>A selector of your own</h2><p>{escape(sentence)}</p>",
            *(f"<pre>{escape(code)}</pre>" for code in codes),
            f"</section>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _links(settings: ReportSettings, results: Path) -> str:
    """Return links to the pages that show the study in words, and to the same tables in Markdown."""
    files = [(page.name, relative_link(page, results)) for page in settings.pages]
    links = [f'<a href="{escape(link)}">{escape(name)}</a>' for name, link in files]
    words = f"The study in words, and why it comes out so: {', '.join(links)}. " if links else ""
    return f'{words}The same tables in Markdown: <a href="{LEADERBOARD}">{LEADERBOARD}</a>.'


def _advice(panels: Sequence[Panel], settings: ReportSettings) -> str:
    """Return what to take, and why; reasons are closed but for the first ones."""
    advised = all_advice(panels, settings)
    rows = advice_rows(advised)
    parts = [text_table(ADVICE_HEADS, rows)] if rows else []
    parts.append(f"<section><ul>{_items(definitions(advised, settings))}</ul></section>")
    parts += [
        f"<section><p>{escape(head)}</p><ul>{_items(lines)}</ul></section>"
        for head, lines in lists_without_method(advised)
    ]
    for i, advice in enumerate(advice for advice in advised if advice.verdict is Verdict.METHOD):
        head = f"{advice.panel.name}, keep {advice.panel.keep:g}: {advice.take.shown}"
        first, *rest = advice_text(advice)
        shown = " open" if i < _OPEN else ""
        parts.append(
            f"<details{shown}><summary>{escape(head)}</summary><p>{escape(first)}</p><ul>{_items(rest)}</ul></details>"
        )
    return f"<h2>Which to take</h2>{''.join(parts)}"


def _times(panels: Sequence[Panel]) -> str:
    rows = times_rows(panels)
    return f"<h2>{TIMES_TITLE}</h2><p>{TIMES_WORDS}</p>\n{text_table(TIMES_HEADS, rows)}" if rows else ""


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
    head = f"No verdict: {len(not_run)} of {len(judged)}"
    rest = f"<details><summary>{head}</summary><ul>{_items(not_run)}</ul></details>" if not_run else ""
    return f"<section><h2>What was aimed at</h2><ul>{''.join(lines)}</ul>{rest}</section>"


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
