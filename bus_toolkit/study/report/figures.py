"""The plots of a study: accuracy against MACs, learning curves, and time to the unpruned arm's quality."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_toolkit.study.report.accuracy_figure import draw_accuracy
from bus_toolkit.study.report.advice import Verdict, all_advice
from bus_toolkit.study.report.curves_figure import draw_curves
from bus_toolkit.study.report.drawing import drawing
from bus_toolkit.study.report.panels import Panel, panels_at
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.style import Style
from bus_toolkit.study.report.time_figure import draw_times

_LONGEST = 150
"""Letters of a name in the name of a file; file systems take 255 bytes in all."""


@dataclass(frozen=True)
class Drawn:
    """A plot.

    Attributes:
        words: What it shows.
        svg: Its file; a PNG is beside it.
        is_main: Whether a short report shows it, too.
    """

    words: str
    svg: Path
    is_main: bool = True


def draw_figures(panels: Sequence[Panel], settings: ReportSettings, folder: Path) -> list[Drawn]:
    """Draw all plots into ``folder``."""
    style = Style({row.arm: row.role for panel in panels for row in panel.rows})
    # Where no method is needed a plot shows that all arms are alike, which a sentence of the short report says; a race
    # is about time.
    plain = {each.panel.name for each in all_advice(panels, settings) if each.verdict is Verdict.NO_METHOD}
    drawn: list[Drawn] = []
    stems = file_names([panel.name for panel in panels])
    with drawing():
        for name in dict.fromkeys(panel.name for panel in panels):
            of_kind = [panel for panel in panels if panel.name == name]
            path, words = folder / f"accuracy_macs_{stems[name]}.svg", f"Accuracy against MACs, {name}"
            is_main = name not in plain and of_kind[0].task not in (settings.races or ())
            drawn.append(Drawn(words, draw_accuracy(of_kind, style, path, words), is_main))
        for panel in panels_at(panels, settings.keep):
            drawn += _of_training(panel, style, folder, stems[panel.name])
    return drawn


def _of_training(panel: Panel, style: Style, folder: Path, stem: str) -> Iterator[Drawn]:
    """Draw the learning curves of a panel that has some, and the times to quality where they are compared."""
    rows = [row for row in panel.rows if any(row.curves)]
    if not rows:
        return
    which = f"{panel.name}, keep {panel.keep:g}"
    words = f"Learning curves, {which}"
    yield Drawn(words, draw_curves(panel, rows, style, folder / f"curves_{stem}.svg", words), is_main=False)
    timed = [row for row in rows if row.time is not None and row.time.seeds]
    if timed and panel.unpruned is not None:
        words = f"Time to quality, {which}"
        yield Drawn(words, draw_times(panel, [panel.unpruned, *timed], style, folder / f"time_{stem}.svg", words))


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return names made safe for files, each its own: those that would share one are numbered."""
    safe: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"[^a-z0-9]+", "_", name.lower())[:_LONGEST].strip("_") or "task"
        safe.setdefault(name, next(each for each in _numbered(stem) if each not in safe.values()))
    return safe


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}_{number}" for number in itertools.count(2))
