"""The columns that tables of pages have beside those of every table."""

from __future__ import annotations

from collections.abc import Callable

from bus_toolkit.study.report.cell_text import NOTHING, estimate_text, macs_text, number_text, ratios_text
from bus_toolkit.study.report.columns import COLUMNS, MARKED_ACCURACY, Column, macs_of
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.scores import Cell
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.sharing import cheaper_text
from bus_toolkit.study.report.tables import PageColumn, Show

_AUC = "patch_text/auc_named"


def column_of(shown: PageColumn, settings: ReportSettings) -> Column:
    """Return what a column of a page's table shows of a row."""
    if shown.show is Show.DIFFERENCE and shown.to:
        return _difference_to(shown.to, settings)
    if shown.show is Show.CHEAPER:
        return _cheaper_than(shown.to or settings.unpruned, settings)
    return macs_of(shown.questions) if shown.show is Show.MACS else _COLUMNS[shown.show]


def _difference_to(arm: str, settings: ReportSettings) -> Column:
    def text(panel: Panel, row: Row) -> str:
        other = panel.row(arm)
        if other is None or other is row:
            return NOTHING
        difference = panel.scores.difference(Cell(row.arm, row.keep), Cell(other.arm, other.keep))
        return estimate_text(difference, signed=True)

    return Column(f"to {settings.shown(arm)}, points", text)


def _cheaper_than(arm: str, settings: ReportSettings) -> Column:
    def text(panel: Panel, row: Row) -> str:
        other = panel.row(arm)
        return NOTHING if other is None or other is row else cheaper_text(row, other)

    return Column(f"questions an image for which it is cheaper than {settings.shown(arm)}", text)


def _auc_text(row: Row, *, under_other_text: bool) -> str:
    """Return how the scores order the named object's patches before those of other objects.

    The evaluation scores by the first selector if boxes train it, else by the prior of the fusion, for which a dropped
    patch is the last of all.
    """
    text = number_text(row.metric(_AUC, under_other_text=under_other_text), ".3f")
    is_of_prior = text != NOTHING and not row.properties.get("learns_from_boxes")
    return f"{text} (prior)" if is_of_prior else text


def _time_text(row: Row, by: str) -> str:
    if row.time is None or not row.time.seeds:
        return NOTHING
    reached = f"{len(row.time.macs)} of {len(row.time.seeds)} seeds"
    return f"{ratios_text(row.time.seconds if by == 'seconds' else row.time.macs)}, {reached}"


def _simple(show: Show, head: str, text: Callable[[Row], str]) -> Column:
    return Column(head, lambda panel, row: text(row), show=show)


def _own(row: Row) -> float | None:
    return None if row.shared_macs is None else row.macs - row.shared_macs


_COLUMNS = {
    column.show: column
    for column in (
        *COLUMNS,
        MARKED_ACCURACY,
        _simple(Show.SHARED, "MMAC an image, shared", lambda row: macs_text(row.shared_macs)),
        _simple(Show.OWN, "MMAC a question of its own", lambda row: macs_text(_own(row))),
        _simple(Show.AUC, "AUC", lambda row: _auc_text(row, under_other_text=False)),
        _simple(Show.AUC_OTHER_TEXT, "AUC under another text", lambda row: _auc_text(row, under_other_text=True)),
        _simple(Show.TIME, "time to the unpruned quality", lambda row: _time_text(row, "seconds")),
        _simple(Show.TIME_MACS, "MACs to the unpruned quality", lambda row: _time_text(row, "macs")),
    )
}
