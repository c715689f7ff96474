"""The Markdown pages of a study: its full leaderboard, and what other pages show of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from bus_toolkit.study.markdown import escape_markdown, markdown_table
from bus_toolkit.study.report.advice import Advice, Verdict, all_advice
from bus_toolkit.study.report.advice_table import ADVICE_HEADS, advice_rows, definitions, lists_without_method
from bus_toolkit.study.report.advice_text import advice_text
from bus_toolkit.study.report.figures import Drawn
from bus_toolkit.study.report.judged import Judged, judge_claim
from bus_toolkit.study.report.markdown_tables import aims_list, claims_list, panel_table, short_tables, times_table
from bus_toolkit.study.report.page_table import page_table
from bus_toolkit.study.report.panels import Panel, panels_at
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.tables import PageTable
from bus_toolkit.study.report.times import TIMES_TITLE, TIMES_WORDS
from bus_toolkit.study.report.words import defined, how_to_read, in_short, machines, of_your_own, sizes

LEADERBOARD, PAGE = "leaderboard.md", "leaderboard.html"


def leaderboard_markdown(
    panels: Sequence[Panel],
    judged: Sequence[Judged],
    figures: Sequence[Drawn],
    settings: ReportSettings,
    results: Path,
) -> str:
    """Return the page of all tables; figures are beside it, in the folder ``results``."""
    parts = [f"# {escape_markdown(settings.title)}", f"All tables of this study; sortable in [{PAGE}]({PAGE})."]
    parts.append(_bullets(in_short(panels, settings)))
    parts += ["## Words", _bullets(defined(settings.words))] if settings.words else []
    advised = all_advice(panels, settings)
    parts += ["## Which to take", *_links(settings, results), *_which(advised, settings), *_reasons(advised)]
    if judged:
        parts += ["## What was aimed at", aims_list(judged)]
    for panel in panels:
        parts += [f"## {escape_markdown(panel.name)}, keep {panel.keep:g}", panel_table(panel)]
    times = times_table(panels)
    parts += [f"## {TIMES_TITLE}", TIMES_WORDS, times] if times else []
    parts += [
        "## How to read it",
        _bullets([*how_to_read(settings), *settings.notes, *sizes(panels), *machines(panels)]),
    ]
    parts += ["## Plots", *(_figure(each.words, each.svg.name) for each in figures)]
    sentence, study, commands = of_your_own(settings)
    parts += ["## A selector of your own", escape_markdown(sentence), _code("yaml", study), _code("bash", commands)]
    return "\n\n".join(parts) + "\n"


def section_markdown(
    panels: Sequence[Panel],
    judged: Sequence[Judged],
    figures: Sequence[Drawn],
    settings: ReportSettings,
    results: str,
) -> str:
    """Return the section for a page of results: what to take, claims, short tables, plots.

    Args:
        panels: All of them.
        judged: The study's claims.
        figures: All of them; the main ones are shown.
        settings: Title, names, notes.
        results: Path of the folder of results from that page.
    """
    shown = panels_at(panels, settings.keep)
    links = f"All tables: [{LEADERBOARD}]({results}/{LEADERBOARD}); a sortable page: [{PAGE}]({results}/{PAGE})."
    parts = [_bullets(in_short(panels, settings)), "Which to take:", *_which(all_advice(shown, settings), settings)]
    parts += ["What was aimed at:", aims_list(judged)] if judged else []
    parts += [*short_tables(shown, settings), links]
    parts += [_bullets([*how_to_read(settings)[:3], *settings.notes, *sizes(panels), *machines(panels)])]
    parts += [_figure(each.words, f"{results}/{each.svg.name}") for each in figures if each.is_main]
    return "\n\n".join(parts)


def table_markdown(table: PageTable, panels: Sequence[Panel], settings: ReportSettings) -> str:
    """Return what a page shows of a table of the YAML: the verdicts on its claims, then its figures."""
    judged = [judge_claim(claim, panels, settings) for claim in table.claims]
    parts = [claims_list(judged)] if judged else []
    if table.columns:
        parts.append(page_table(table, panels, settings))
    return "\n\n".join(parts)


def relative_link(target: Path, folder: Path) -> str:
    """Return the path of ``target`` as a link from a page in ``folder``, without blanks, brackets and the like."""
    return quote(os.path.relpath(target.resolve(), folder.resolve()).replace(os.sep, "/"))


def _which(advised: Sequence[Advice], settings: ReportSettings) -> list[str]:
    """Return what to take for each kind of question and keep ratio: a table, its words, where no method is needed."""
    rows = [[escape_markdown(cell) for cell in row] for row in advice_rows(advised)]
    parts = [markdown_table(ADVICE_HEADS, rows)] if rows else []
    words = definitions(advised, settings)
    parts += [_bullets(words)] if words else []
    for head, lines in lists_without_method(advised):
        parts += [head, _bullets(lines)]
    return parts


def _reasons(advised: Sequence[Advice]) -> list[str]:
    """Return the advice to take a method in sentences."""
    texts = [advice_text(advice) for advice in advised if advice.verdict is Verdict.METHOD]
    return ["In sentences:"] * bool(texts) + [
        "\n".join([_bullets([first]), *(f"  - {escape_markdown(sentence)}" for sentence in rest)])
        for first, *rest in texts
    ]


def _links(settings: ReportSettings, results: Path) -> list[str]:
    """Return a line with the pages that show the study, if there are any."""
    links = ", ".join(f"[{escape_markdown(page.name)}]({relative_link(page, results)})" for page in settings.pages)
    return [f"The study in words, and why it comes out so: {links}."] if links else []


def _figure(words: str, link: str) -> str:
    return f"![{escape_markdown(words)}]({link})"


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)
