"""The plots of a study: accuracy against MACs, learning curves, and time to the unpruned arm's quality."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.study.report.drawing import (
    Style,
    drawing,
    label_lines,
    name_curves,
    new_axes,
    plain_name,
    save,
    set_course,
    set_percent,
    share_of_names,
    style_axes,
)
from bus_toolkit.study.report.panels import Panel, panels_at
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.time_figure import draw_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    drawn: list[Drawn] = []
    stems = file_names([panel.name for panel in panels])
    with drawing():
        for name in dict.fromkeys(panel.name for panel in panels):
            of_kind = [panel for panel in panels if panel.name == name]
            path, words = folder / f"accuracy_macs_{stems[name]}.svg", f"Accuracy against MACs, {name}"
            drawn.append(Drawn(words, _draw_accuracy(of_kind, style, path, words)))
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
    yield Drawn(words, _draw_curves(panel, rows, style, folder / f"curves_{stem}.svg", words), is_main=False)
    timed = [row for row in rows if row.time is not None and row.time.seeds]
    if timed and panel.unpruned is not None:
        words = f"Time to quality, {which}"
        yield Drawn(words, draw_times(panel, [panel.unpruned, *timed], style, folder / f"time_{stem}.svg", words))


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return names made safe for files, each its own: those that would share one are numbered."""
    safe: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "task"
        safe.setdefault(name, next(each for each in _numbered(stem) if each not in safe.values()))
    return safe


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}_{number}" for number in itertools.count(2))


def _draw_accuracy(panels: Sequence[Panel], style: Style, path: Path, title: str) -> Path:
    """Draw a line an arm over its keep ratios; the names are at the cheap end, where the arms differ."""
    lines: dict[str, dict[float, Row]] = {}
    for panel in panels:
        for row in panel.rows:
            lines.setdefault(row.arm, {})[row.keep] = row
    macs = sorted(row.macs / 1e6 for rows in lines.values() for row in rows.values())
    figure, (axes,) = new_axes(len(lines))
    set_percent(axes, [row.accuracy.high for rows in lines.values() for row in rows.values()])
    style_axes(axes, f"{plain_name(panels[0].name)}: accuracy at equal MACs", _MACS_LABEL, "accuracy on test, %")
    axes.set_xscale("log")
    _plain_ticks(axes, macs)
    figure.tight_layout(pad=0.8)
    # The names have the left part of the plot for themselves.
    span = max(macs[-1] / macs[0], 1.3)
    share = share_of_names(axes, [plain_name(row.shown) for rows in lines.values() for row in rows.values()])
    whole = span ** (1.19 / (1 - share))
    column = macs[-1] * span**0.05 / whole ** (1 - share)
    axes.set_xlim(macs[-1] * span**0.05 / whole, macs[-1] * span**0.05)
    ends = []
    for arm, by_keep in lines.items():
        rows = sorted(by_keep.values(), key=lambda row: row.macs)
        x, y = [row.macs / 1e6 for row in rows], [row.accuracy.mean for row in rows]
        axes.errorbar(x, y, yerr=_error_bars(rows), capsize=2.5, elinewidth=1.1, **style.line(arm))
        if rows[0].role is Role.UNPRUNED:
            axes.plot([column, x[0]], [y[0], y[0]], **{**style.line(arm), "marker": "", "linewidth": 1.0})
            x[0] = column
        ends.append((x[0], y[0], plain_name(rows[0].shown), style.colour(arm)))
    label_lines(axes, column, ends, left=True)
    return save(figure, path, title)


def _error_bars(rows: Sequence[Row]) -> list[list[float]]:
    """Return how far the intervals reach below and above; no interval is no bar."""
    below = [row.accuracy.mean - row.accuracy.low for row in rows]
    above = [row.accuracy.high - row.accuracy.mean for row in rows]
    return [[max(0.0, length) if length == length else 0.0 for length in lengths] for lengths in (below, above)]


_MACS_LABEL = "MACs of one question about one image, millions (log scale); bars: 95 % intervals"


def _draw_curves(panel: Panel, rows: Sequence[Row], style: Style, path: Path, title: str) -> Path:
    figure, (axes,) = new_axes(len(rows))
    ends = []
    for row in rows:
        for curve in row.curves:
            axes.plot([p.step for p, _ in curve], [v for _, v in curve], **{**style.line(row.arm), "alpha": 0.25})
        mean = _mean_curve(row)
        axes.plot([x for x, _ in mean], [y for _, y in mean], **style.line(row.arm))
        mark = " *" if row.is_undertrained else ""
        ends.append((*mean[-1], f"{plain_name(row.shown)}{mark}", style.colour(row.arm)))
    last = max(x for x, *_ in ends)
    set_percent(axes, [value for row in rows for curve in row.curves for _, value in curve])
    words = f"{plain_name(panel.name)}, keep {panel.keep:g}: learning curves"
    note = " (* still rising: undertrained)" if any(row.is_undertrained for row in rows) else ""
    style_axes(axes, words, f"training steps{note}", "accuracy on val, %")
    set_course(axes, last, whole=True)
    figure.tight_layout(pad=0.8)
    name_curves(axes, ends)
    return save(figure, path, title)


def _mean_curve(row: Row) -> list[tuple[float, float]]:
    """Return the mean over the seeds at each step that all of them were validated at."""
    curves = [{point.step: value for point, value in curve} for curve in row.curves]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    if not steps:
        steps, curves = sorted(curves[0]), curves[:1]
    return [(step, statistics.fmean(curve[step] for curve in curves)) for step in steps]


def _plain_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Write the MACs themselves at the axis, those that are far enough apart."""
    from matplotlib.ticker import NullFormatter, NullLocator

    ticks: list[float] = []
    for value in values:
        if not ticks or value / ticks[-1] > 1.12:
            ticks.append(value)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{tick:.0f}" if tick >= 10 else f"{tick:.1f}" for tick in ticks])
