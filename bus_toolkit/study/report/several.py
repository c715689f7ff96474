"""Which arms to weigh where each image has several questions."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.study.report.cell_text import macs_text
from bus_toolkit.study.report.columns import SEVERAL
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row

SAME_COST = 1.03
"""Costs within this factor count as equal: studies match budgets to 3 %."""
NEAR = 10.0
"""Points below the most accurate arm down to which a cheaper one is named (our choice)."""


def of_several(panel: Panel, choices: Sequence[Row]) -> tuple[Row, ...]:
    """Return the most accurate arm, then only arms that cost less than those before; unpruned takes part.

    Args:
        panel: The questions.
        choices: Arms that may be chosen.

    Returns:
        From accurate to cheap; empty if no shared cost is known.
    """
    rows = [*choices, *([panel.unpruned] if panel.unpruned else [])]
    priced_rows = [(row, cost) for row in rows if (cost := row.macs_of(SEVERAL)) is not None]
    front: list[tuple[Row, float]] = []
    for row, cost in sorted(priced_rows, key=lambda each: (-each[0].accuracy.mean, each[1])):
        is_far = bool(front) and row.accuracy.mean < front[0][0].accuracy.mean - NEAR
        if not is_far and (not front or SAME_COST * cost < front[-1][1]):
            front.append((row, cost))
    return tuple(row for row, _ in front)


def priced(row: Row) -> str:
    """Return an arm with its accuracy and its cost of a question where an image has several."""
    return f"{row.shown} ({row.accuracy.mean:.1f} %, {macs_text(row.macs_of(SEVERAL))} million MACs each)"
