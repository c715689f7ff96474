"""Which arm to take for a kind of question at a keep ratio, from the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bus_toolkit.study.report.guessing import is_near_guess
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.scores import Cell
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.several import SAME_COST, of_several


class Verdict(Enum):
    """What questions say about choosing."""

    METHOD = "method"
    """There is a method to take."""
    NO_METHOD = "no method"
    """A baseline or a smaller image is as good as any arm."""
    NOTHING_LEARNT = "nothing learnt"
    """Not even all tokens, or the best arm, exceed guessing by more than ``NEAR_GUESSING``."""


@dataclass(frozen=True)
class Advice:
    """What to take for the questions of one panel.

    Attributes:
        panel: Those questions.
        take: Of the arms that the interval cannot distinguish from the best one, the one that needs least: first no
            boxes, then no text, then no method, then fewer MACs (beyond what budgets are matched to), then the more
            accurate one (our order).
        best: The highest accuracy among the arms that may be chosen.
        ties: Arms whose difference to the best one has an interval that includes 0.
        several: What to weigh for several questions about each image: the most accurate arm, unpruned included, then
            only what costs less, down to 10 points below it (our bound). Empty if no shared cost is known.
    """

    panel: Panel
    take: Row
    best: Row
    ties: tuple[Row, ...]
    several: tuple[Row, ...]

    @property
    def others(self) -> list[str]:
        """Names of the arms that may be as good as the one to take."""
        return [row.shown for row in (self.best, *self.ties) if row is not self.take]

    @property
    def verdict(self) -> Verdict:
        """What the panel says to a reader who has to choose."""
        full = self.panel.unpruned
        highest = max(row.accuracy.mean for row in (self.best, full) if row is not None)
        if is_near_guess(highest, self.panel.majority):
            return Verdict.NOTHING_LEARNT
        return Verdict.NO_METHOD if is_plain(self.take) else Verdict.METHOD


def advise(panel: Panel) -> Advice | None:
    """Return what to take; ``None`` if there are not two arms to choose from."""
    choices = [row for row in panel.rows if row.is_choice]
    if len(choices) < 2:
        return None
    best = choices[0]
    ties = tuple(row for row in choices[1:] if _is_tie(panel, best, row))
    dear = SAME_COST * min(row.macs for row in (best, *ties))
    take = min(
        (best, *ties),
        key=lambda row: (
            learns_from_boxes(row),
            reads_text(row),
            not is_plain(row),
            row.macs > dear,
            -row.accuracy.mean,
        ),
    )
    return Advice(panel, take, best, ties, of_several(panel, choices))


def all_advice(panels: Sequence[Panel], settings: ReportSettings) -> list[Advice]:
    """Return the advice for each panel that has any; a race that the study names is no question of choosing."""
    panels = [panel for panel in panels if panel.task not in (settings.races or ())]
    return [advice for advice in map(advise, panels) if advice is not None]


def reads_text(row: Row) -> bool:
    """Return whether a selector of the arm reads the text."""
    return row.role is Role.TEXT_AWARE


def learns_from_boxes(row: Row) -> bool:
    """Return whether a selector of the arm is trained by boxes."""
    return bool(row.properties.get("learns_from_boxes"))


def is_plain(row: Row) -> bool:
    """Return whether an arm needs no method at all."""
    return row.role in (Role.BASELINE, Role.SMALLER_IMAGE)


def _is_tie(panel: Panel, best: Row, row: Row) -> bool:
    difference = panel.scores.difference(Cell(row.arm, row.keep), Cell(best.arm, best.keep))
    return difference is not None and difference.low <= 0 <= difference.high
