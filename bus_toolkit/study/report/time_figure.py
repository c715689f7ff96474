"""The plot of an arm's time to the unpruned arm's end quality, in seconds and in MACs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.study.report.curves import TimeToQuality
from bus_toolkit.study.report.drawing import (
    TEXT,
    new_axes,
    plain_name,
    save,
    set_course,
    set_percent,
    style_axes,
    title_size,
)
from bus_toolkit.study.report.labels import name_curves
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.runs import CurvePoint
from bus_toolkit.study.report.style import Style
from bus_toolkit.visualization.canvas import INK


def draw_times(panel: Panel, rows: Sequence[Row], style: Style, path: Path, title: str) -> Path:
    """Draw val accuracy against seconds and against MACs; the dashed line is the unpruned arm's end quality."""
    figure, both = new_axes(len(rows), rows=2)
    quality = statistics.fmean(curve[-1][1] for curve in rows[0].curves)
    for axes, unit in zip(both, _UNITS, strict=True):
        last = max(unit.read(curve[-1][0]) for row in rows for curve in row.curves)
        for row in rows:
            for curve in row.curves:
                x, y = [unit.read(point) for point, _ in curve], [value for _, value in curve]
                axes.plot(x, y, **{**style.line(row.arm), "markersize": 3.5})
        axes.plot([0, last], [quality, quality], color=INK, linewidth=1.0, linestyle=(0, (6, 3)))
        set_percent(axes, [value for row in rows for curve in row.curves for _, value in curve])
        style_axes(axes, "", unit.label, "accuracy on val, %")
        set_course(axes, last)
    height = figure.get_figheight()
    head = f"{plain_name(panel.name)}, keep {panel.keep:g}: time to quality"
    place: dict[str, Any] = {"x": 0.012, "va": "top", "ha": "left", "color": INK}
    figure.suptitle(head, fontsize=title_size(head), weight="bold", y=1 - 0.08 / height, **place)
    note = "Dashed: end quality of the unpruned arm. x 0.50: half of its way there. No figure: not reached."
    figure.text(s=note, fontsize=TEXT - 1, y=1 - 0.36 / height, **place)
    figure.tight_layout(pad=0.8, h_pad=1.2, rect=(0, 0, 1, 1 - 0.56 / height))
    for axes, unit in zip(both, _UNITS, strict=True):
        ends = []
        for row in rows:
            point, value = row.curves[-1][-1]
            ends.append((unit.read(point), value, _with_ratio(row, unit), style.colour(row.arm)))
        name_curves(axes, ends)
    return save(figure, path, title)


@dataclass(frozen=True)
class _Unit:
    """What a time is counted in: its axis, how a point of a curve shows it, and the ratios of an arm."""

    label: str
    read: Callable[[CurvePoint], float]
    ratios: Callable[[TimeToQuality], Mapping[int, float]]


_UNITS = (
    _Unit("seconds of training", lambda point: point.seconds, lambda time: time.seconds),
    _Unit("MACs of training, 10^12", lambda point: point.macs / 1e12, lambda time: time.macs),
)


def _with_ratio(row: Row, unit: _Unit) -> str:
    """Return the name with the ratio of its time to the unpruned arm's, and how many seeds have one if not all do."""
    name = plain_name(row.shown)
    ratios = unit.ratios(row.time) if row.time is not None else {}
    if row.time is None or not ratios:
        return name
    seeds = "" if len(ratios) == len(row.time.seeds) else f" ({len(ratios)} of {len(row.time.seeds)} seeds)"
    return f"{name} x {statistics.fmean(ratios.values()):.2f}{seeds}"
