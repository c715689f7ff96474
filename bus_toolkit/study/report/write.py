"""One call from the committed results of a study to all that is drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.safe_text import safe_lines
from bus_toolkit.study.report.bootstrap import DRAWS
from bus_toolkit.study.report.committed import read_committed
from bus_toolkit.study.report.figures import draw_figures
from bus_toolkit.study.report.html_page import leaderboard_page
from bus_toolkit.study.report.judged import judge_claims
from bus_toolkit.study.report.markdown_pages import (
    LEADERBOARD,
    PAGE,
    leaderboard_markdown,
    relative_link,
    section_markdown,
    table_markdown,
)
from bus_toolkit.study.report.markers import filled, markers, shown_on
from bus_toolkit.study.report.panels import make_panels
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.writing import write_whole


def write_report(settings: ReportSettings, results: Path, draws: int = DRAWS) -> list[Path]:
    """Write tables, plots and pages into ``results``, and the study's places in its pages; return the files.

    The same results give the same files, byte for byte, on the same versions of NumPy and matplotlib.

    Args:
        settings: Of the study.
        results: Folder of ``runs.jsonl`` and ``samples.jsonl.gz``.
        draws: Of the bootstrap.

    Raises:
        ConfigError: A table asks for questions that the results do not have.
        DataError: There are no results, they are damaged, or the places of a page are not those of the study.
    """
    runs, verdicts = read_committed(results)
    if not runs:
        raise DataError(f"{results}: holds no results. Add them with --collect and the folder of the study's runs.")
    panels = make_panels(runs, verdicts, settings, draws)
    judged = judge_claims(panels, settings)
    blocks = {table.name: table_markdown(table, panels, settings) for table in settings.tables}
    _check_pages(settings, blocks)
    _remove_old(results, (".svg", ".png"))
    figures = draw_figures(panels, settings, results)
    write_whole(results / LEADERBOARD, safe_lines(leaderboard_markdown(panels, judged, figures, settings, results)))
    write_whole(results / PAGE, safe_lines(leaderboard_page(panels, judged, figures, settings, results)))
    written = [results / LEADERBOARD, results / PAGE, *(each.svg for each in figures)]
    for page in settings.pages:
        blocks[""] = section_markdown(panels, judged, figures, settings, relative_link(results, page.parent))
        write_whole(page, filled(page, settings.name, blocks))
        written.append(page)
    return written


def _check_pages(settings: ReportSettings, tables: Mapping[str, str]) -> None:
    """Refuse pages whose places are not those of the study before anything is written."""
    shown = {name for page in settings.pages for name in shown_on(page, settings.name, {"": "", **tables})}
    missing = [name for name in tables if name not in shown]
    if settings.pages and missing:
        raise DataError(
            f"report.tables.{missing[0]}: must have a place in one of {', '.join(map(str, settings.pages))}, got none. "
            f"Add the lines {markers(settings.name, missing[0])}."
        )


def _remove_old(folder: Path, suffixes: Iterable[str]) -> None:
    """Remove the pictures of an earlier report: of a task that is no longer there nothing would replace them."""
    for file in folder.iterdir():
        if file.suffix in suffixes and file.name.startswith(("accuracy_macs_", "curves_", "time_")):
            file.unlink()
