"""The table of times to the unpruned arm's quality."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bus_toolkit.study.report.cell_text import ratios_text
from bus_toolkit.study.report.panels import Panel

TIMES_TITLE = "Time to the unpruned arm's quality"
TIMES_WORDS = (
    "Times of an arm until its validation accuracy first reaches the end quality of the unpruned arm with the same "
    "seed, as a share of what the unpruned arm needs to first reach it; below 1 is faster. Seconds are compared on the "
    "same machine only."
)
TIMES_HEADS = ("task", "keep", "arm", "quality to reach, % of val", "seeds that reached it", "seconds", "MACs")


def times_rows(panels: Iterable[Panel]) -> list[list[str]]:
    """Return how long each arm took to the unpruned arm's end quality, not escaped; empty if nothing can be said."""
    return [
        [
            panel.name,
            f"{panel.keep:g}",
            row.shown,
            f"{statistics.fmean(row.time.quality.values()):.1f}",
            f"{len(row.time.macs)} of {len(row.time.seeds)}",
            ratios_text(row.time.seconds),
            ratios_text(row.time.macs),
        ]
        for panel in panels
        for row in panel.rows
        if row.time is not None and row.time.seeds
    ]
