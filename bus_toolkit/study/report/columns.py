"""The columns of a study's tables: what a cell shows, and the number by which a reader sorts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.cell_text import NOTHING, estimate_text, macs_text, number_text, tera_text
from bus_toolkit.study.report.guessing import accuracy_text
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.tables import Show

SEVERAL = 8
"""Questions about one image where the cost of several is shown."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        head: Its title.
        text: What a cell shows, not escaped.
        number: By what it is sorted; ``None`` is by the text.
        of_panel: Whether the table of one panel has it, too.
        show: By what name the tables of a study's YAML show it; ``None`` for what they have anyhow or do not show.
    """

    head: str
    text: Callable[[Panel, Row], str]
    number: Callable[[Panel, Row], float | None] | None = None
    of_panel: bool = True
    show: Show | None = None


def marks(row: Row) -> str:
    """Return what qualifies a row."""
    learned = "undertrained" if row.is_undertrained else "no curve" if row.is_undertrained is None else ""
    return ", ".join(filter(None, (learned, "" if row.is_one_config else "seeds of several configs")))


def macs_of(questions: int) -> Column:
    """Return the column of the MACs a question where an image has so many."""
    return Column(
        "MMAC a question" if questions == 1 else f"MMAC, {questions} questions an image",
        lambda panel, row: macs_text(row.macs_of(questions)),
        lambda panel, row: row.macs_of(questions),
    )


def _difference(row: Row) -> str:
    return "reference" if row.is_reference else estimate_text(row.difference, signed=True)


def _split(row: Row) -> str:
    return (
        NOTHING
        if row.split is None or not row.split.num_questions
        else f"{estimate_text(row.split.accuracy)} of {row.split.num_questions}"
    )


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.mean


def _accuracy(panel: Panel, row: Row) -> str:
    return accuracy_text(row.accuracy, panel.majority)


def _marked(panel: Panel, row: Row) -> str:
    return _accuracy(panel, row) + (" (undertrained)" if row.is_undertrained else "")


def _yes(value: object) -> str:
    return NOTHING if value is None else "yes" if value else "no"


COLUMNS = (
    Column("task", lambda panel, row: panel.name, of_panel=False),
    Column("keep", lambda panel, row: f"{panel.keep:g}", lambda panel, row: panel.keep, of_panel=False),
    Column("arm", lambda panel, row: row.shown),
    Column("what it is", lambda panel, row: row.role.value),
    Column("accuracy, %", _accuracy, lambda panel, row: row.accuracy.mean),
    Column(
        "to the reference, points",
        lambda panel, row: _difference(row),
        lambda panel, row: 0.0 if row.is_reference else _mean(row.difference),
        show=Show.DIFFERENCE,
    ),
    macs_of(1),
    macs_of(SEVERAL),
    Column("off target, %", lambda panel, row: number_text(row.deviation, "+.1f"), lambda panel, row: row.deviation),
    Column("tokens", lambda panel, row: number_text(row.tokens), lambda panel, row: row.tokens, show=Show.TOKENS),
    Column(  # seconds are in the tables of races alone: others ran beside each other, and on machines that did more
        "training, TMAC",
        lambda panel, row: tera_text(row.training_macs),
        lambda panel, row: row.training_macs,
        show=Show.TRAINING,
    ),
    Column("steps", lambda panel, row: number_text(row.steps), lambda panel, row: row.steps, show=Show.STEPS),
    Column("seeds", lambda panel, row: str(len(row.runs)), lambda panel, row: len(row.runs)),
    Column(
        "under another text, %",
        lambda panel, row: accuracy_text(row.wrong_text, panel.majority),
        lambda panel, row: _mean(row.wrong_text),
        show=Show.OTHER_TEXT,
    ),
    Column(
        "where a smaller image fails, %",
        lambda panel, row: _split(row),
        lambda panel, row: _mean(row.split.accuracy) if row.split else None,
        show=Show.LOST,
    ),
    Column(
        "selector learns from boxes",
        lambda panel, row: _yes(row.properties.get("learns_from_boxes")),
        of_panel=False,
        show=Show.BOXES,
    ),
    Column("merges tokens", lambda panel, row: _yes(row.properties.get("merges")), of_panel=False),
    Column("note", lambda panel, row: marks(row)),
)

MARKED_ACCURACY = Column("accuracy, %", _marked, show=Show.ACCURACY)
"""For tables without a column of marks."""
