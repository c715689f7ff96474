"""The Markdown pages of a study: its full leaderboard, and the section of a page that has the study's markers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.study.markdown import escape_markdown, markdown_table
from bus_toolkit.study.report.advice import ADVICE_HEADS, Advice, advice_row, advice_text, all_advice
from bus_toolkit.study.report.figures import Drawn
from bus_toolkit.study.report.judged import Judged
from bus_toolkit.study.report.markdown_tables import claims_list, panel_table, short_table, times_table
from bus_toolkit.study.report.panels import Panel, panels_at
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.words import how_to_read, machines, sizes
from bus_toolkit.text_files import read_utf8
from bus_toolkit.writing import write_whole

LEADERBOARD, PAGE = "leaderboard.md", "leaderboard.html"


def leaderboard_markdown(
    panels: Sequence[Panel], judged: Sequence[Judged], figures: Sequence[Drawn], settings: ReportSettings
) -> str:
    """Return the page of all tables; figures are beside it."""
    parts = [f"# {escape_markdown(settings.title)}", f"All tables of this study; sortable in [{PAGE}]({PAGE})."]
    if judged:
        parts += ["## What was aimed at", claims_list(judged)]
    advised = all_advice(panels)
    parts += ["## Which to take", advice_table(advised, settings), *_advice(advised, settings)]
    for panel in panels:
        parts += [f"## {escape_markdown(panel.name)}, keep {panel.keep:g}", panel_table(panel)]
    times = times_table(panels)
    if times:
        parts += [
            "## Time to the unpruned arm's quality",
            "Times of an arm until its validation accuracy first reaches the end quality of the unpruned arm with the "
            "same seed, as a share of what the unpruned arm needs to first reach it; below 1 is faster. Seconds are "
            "compared on the same machine only.",
            times,
        ]
    parts += [
        "## How to read it",
        _bullets([*how_to_read(settings), *settings.notes, *sizes(panels), *machines(panels)]),
    ]
    parts += ["## Plots", *(_figure(each.words, each.svg.name) for each in figures)]
    return "\n\n".join(parts) + "\n"


def section_markdown(
    panels: Sequence[Panel],
    judged: Sequence[Judged],
    figures: Sequence[Drawn],
    settings: ReportSettings,
    results: str,
) -> str:
    """Return the section for a page of results: claims, a short table, plots.

    Args:
        panels: All of them.
        judged: The study's claims.
        figures: All of them; the main ones are shown.
        settings: Title, names, notes.
        results: Path of the folder of results from that page.
    """
    shown = panels_at(panels, settings.keep)
    links = f"All tables: [{LEADERBOARD}]({results}/{LEADERBOARD}); a sortable page: [{PAGE}]({results}/{PAGE})."
    parts = [claims_list(judged)] if judged else []
    parts += [short_table(shown), "Which to take:", advice_table(all_advice(shown), settings), links]
    parts += [_bullets([*how_to_read(settings)[:2], *settings.notes, *sizes(panels), *machines(panels)])]
    parts += [_figure(each.words, f"{results}/{each.svg.name}") for each in figures if each.is_main]
    return "\n\n".join(parts)


def write_section(page: Path, name: str, section: str) -> None:
    """Put ``section`` between the markers of the study ``name`` in a Markdown page.

    Raises:
        DataError: The page cannot be read, or has not both markers once, in order.
    """
    start, end = f"<!-- study: {name} -->", f"<!-- end of study: {name} -->"
    text = read_utf8(page)
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise DataError(
            f"{page}: needs the lines {start} and {end}, once each and in this order. Add them to the page."
        )
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    write_whole(page, f"{before}{start}\n\n{section}\n\n{end}{after}")


def relative_folder(folder: Path, page: Path) -> str:
    """Return the path of ``folder`` as a link from ``page``."""
    return os.path.relpath(folder.resolve(), page.resolve().parent).replace(os.sep, "/")


def advice_table(advised: Sequence[Advice], settings: ReportSettings) -> str:
    """Return what to take for each kind of question and keep ratio."""
    rows = [[escape_markdown(cell) for cell in advice_row(each, settings)] for each in advised]
    return markdown_table(ADVICE_HEADS, rows)


def _advice(advised: Sequence[Advice], settings: ReportSettings) -> list[str]:
    texts = [advice_text(advice, settings) for advice in advised]
    return [
        "\n".join([_bullets([first]), *(f"  - {escape_markdown(sentence)}" for sentence in rest)])
        for first, *rest in texts
    ]


def _figure(words: str, link: str) -> str:
    return f"![{escape_markdown(words)}]({link})"


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)
