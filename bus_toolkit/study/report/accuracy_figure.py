"""The plot of accuracy against MACs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.study.report.drawing import new_axes, plain_name, save, set_percent, style_axes
from bus_toolkit.study.report.labels import label_lines, share_of_names
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEAR = 1.12
"""Ratio of two costs below which their ticks are written on two lines."""


def draw_accuracy(panels: Sequence[Panel], style: Style, path: Path, title: str) -> Path:
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
    show_budgets(axes, budgets_of(panels))
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


_MACS_LABEL = (
    "MACs of one question about one image, millions (log scale); bars: 95 % intervals\n"
    "ticks: the reference at each keep ratio, and the unpruned arm"
)


def budgets_of(panels: Sequence[Panel]) -> list[float]:
    """Return the MACs, in millions, that arms are set to at each ratio (the reference's), and the unpruned arm's."""
    budgets: set[float] = set()
    for panel in panels:
        targets = [row.macs for row in panel.rows if row.is_reference]
        targets += [run.target_macs for row in panel.rows for run in row.runs if run.target_macs is not None]
        budgets.update(target / 1e6 for target in targets[:1])
        budgets.update([panel.unpruned.macs / 1e6] if panel.unpruned is not None else [])
    return sorted(budgets)


def show_budgets(axes: Axes, budgets: Sequence[float]) -> None:
    """Write the budgets at the axis; one that is near the one before is a line lower."""
    from matplotlib.ticker import NullFormatter, NullLocator

    labels: list[str] = []
    for i, value in enumerate(budgets):
        is_near = bool(labels) and value < _NEAR * budgets[i - 1] and not labels[-1].startswith("\n")
        labels.append(("\n" if is_near else "") + (f"{value:.0f}" if value >= 10 else f"{value:.1f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(budgets, labels)
