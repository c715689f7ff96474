"""The plot of learning curves; of many arms in panels by what they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.study.report.drawing import new_axes, plain_name, save, set_course, set_percent, style_axes
from bus_toolkit.study.report.labels import name_curves
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.style import METHODS, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 12
"""Arms in one panel; of more, each kind of method has a panel."""


def draw_curves(panel: Panel, rows: Sequence[Row], style: Style, path: Path, title: str) -> Path:
    """Draw val accuracy against steps; all panels have the same axes."""
    groups = split_by_role(rows)
    figure, all_axes = new_axes(max(len(of_group) for _, of_group in groups), rows=len(groups))
    values = [value for row in rows for curve in row.curves for _, value in curve]
    last = max(curve[-1][0].step for row in rows for curve in row.curves)
    for axes, (role, of_group) in zip(all_axes, groups, strict=True):
        _draw_group(axes, of_group, style)
        set_percent(axes, values)
        words = f"{plain_name(panel.name)}, keep {panel.keep:g}: learning curves{role and f', {role}'}"
        note = " (* still rising: undertrained)" if any(row.is_undertrained for row in of_group) else ""
        style_axes(axes, words, f"training steps{note}", "accuracy on val, %")
        set_course(axes, last, whole=True)
    figure.tight_layout(pad=0.8, h_pad=1.6)
    for axes, (_, of_group) in zip(all_axes, groups, strict=True):
        name_curves(axes, [_end(row, style) for row in of_group])
    return save(figure, path, title)


def split_by_role(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the rows of each panel with what distinguishes it; of few rows, or one kind of method, there is one panel.

    What methods are compared to (baselines, a smaller image, an oracle, all tokens) is in each.
    """
    roles = [role for role in METHODS if any(row.role is role for row in rows)]
    if len(rows) <= _MOST or len(roles) < 2:
        return [("", list(rows))]
    return [(role.value, [row for row in rows if row.role is role or row.role not in METHODS]) for role in roles]


def _draw_group(axes: Axes, rows: Sequence[Row], style: Style) -> None:
    """Draw the mean of each arm over its curves; what methods are compared to is thinner."""
    for row in rows:
        line = style.line(row.arm)
        if row.role not in METHODS:
            line = {**line, "linewidth": 1.4, "markersize": 5.0}
        for curve in row.curves:
            axes.plot([p.step for p, _ in curve], [v for _, v in curve], **{**line, "alpha": 0.25, "marker": ""})
        mean = _mean_curve(row)
        axes.plot([x for x, _ in mean], [y for _, y in mean], **line)


def _end(row: Row, style: Style) -> tuple[float, float, str, str]:
    """Return where the curve of an arm ends, with its name and colour."""
    mark = " *" if row.is_undertrained else ""
    return (*_mean_curve(row)[-1], f"{plain_name(row.shown)}{mark}", style.colour(row.arm))


def _mean_curve(row: Row) -> list[tuple[float, float]]:
    """Return the mean over the seeds at each step that all of them were validated at."""
    curves = [{point.step: value for point, value in curve} for curve in row.curves]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    if not steps:
        steps, curves = sorted(curves[0]), curves[:1]
    return [(step, statistics.fmean(curve[step] for curve in curves)) for step in steps]
