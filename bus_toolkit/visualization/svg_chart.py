"""Charts of lines as SVG for the inside of a page; their colours are those of the page, in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus_toolkit.visualization.html import shown
from bus_toolkit.visualization.scalars import Points, smooth, thinned

# Of the same hues in both, each with a contrast of 3 and more against the ground; no two of the first six are alike to
# readers who do not see red or green, and every second line is dashed as well.
CHART_STYLE = """
:root { --c0: #2458c5; --c1: #c2410c; --c2: #0f7a52; --c3: #8b3fae; --c4: #8a6d00; --c5: #b8255f; --c6: #1f7a96;
  --c7: #5b6270; }
@media (prefers-color-scheme: dark) { :root { --c0: #7aa2f7; --c1: #ff9e64; --c2: #5fd3a3; --c3: #d2a0f0;
  --c4: #e0c45c; --c5: #ff86ae; --c6: #6ccbe6; --c7: #a9b0bf; } }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
.chart { margin: 0; padding: 0.6rem; border: 1px solid var(--line); border-radius: 8px; min-width: 0; }
.chart figcaption { font-weight: 600; font-size: 0.9rem; overflow-wrap: anywhere; }
.chart svg { display: block; width: 100%; height: auto; }
.chart text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.grid { stroke: var(--line); stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.pale { opacity: 0.3; stroke-width: 1; }
.dashed { stroke-dasharray: 6 3; }
.legend { display: flex; flex-wrap: wrap; gap: 0 0.9rem; margin: 0.2rem 0 0; padding: 0; list-style: none;
  font-size: 0.8rem; }
.legend li { overflow-wrap: anywhere; min-width: 0; }
.legend svg { display: inline-block; width: 22px; height: 8px; vertical-align: middle; }
"""
COLOURS = 8
Scale = Callable[[float], float]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 360, 190, 46, 22, 10, 12
_DRAWN = 300  # points of a line; the chart is some 300 pixels wide


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: In the legend, a text of others.
        points: (x, y), in the order of x.
        colour: Its place among the colours.
    """

    name: str
    points: Points
    colour: int = 0


def line_chart(title: str, lines: Sequence[Line], *, smoothed: bool = False, whole: bool = True) -> str:
    """Return a figure: title, lines over the steps of a training, legend with the last value of each line.

    Args:
        title: What is drawn, a text of others.
        lines: At least one, each with a point.
        smoothed: Whether a running mean is drawn strong and the values pale.
        whole: Whether the scale of y need not reach down to 0.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks, y_ticks = ticks(0.0, max(max(xs), 1.0)), ticks(min(ys) if whole else min(0.0, *ys), max(ys))
    low, high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))
    right = max(max(xs), 1.0)

    def x_of(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right

    def y_of(y: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / ((high - low) or 1.0)

    parts = [
        f'<path class="grid" d="M{_LEFT} {y_of(y):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 6}" y="{y_of(y) + 4:.1f}" text-anchor="end">{number(y)}</text>'
        for y in y_ticks
    ]
    parts += [
        f'<text x="{x_of(x):.1f}" y="{_HEIGHT - 5}" text-anchor="middle">{number(x)}</text>'
        for x in x_ticks
        if x <= right
    ]
    for line in lines:
        points = thinned(line.points, _DRAWN)
        if smoothed and len(points) > 3:
            parts.append(_path(points, line.colour, x_of, y_of, "line pale"))
            points = [(x, y) for (x, _), y in zip(points, smooth([y for _, y in points]), strict=True)]
        parts.append(_path(points, line.colour, x_of, y_of, f"line{_dash(line.colour)}"))
        if len(points) == 1:
            (x, y), *_ = points
            parts.append(f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" style="fill:{_colour(line.colour)}"/>')
    said = "; ".join(f"{line.name}: {number(line.points[0][1])} to {number(line.points[-1][1])}" for line in lines)
    label = shown(f"{title}, over {number(right)} steps. {said}")
    return (
        f'<figure class="chart"><figcaption>{shown(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        f'<ul class="legend">{"".join(map(_entry, lines))}</ul></figure>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers from ``low`` or just below it to ``high`` or just above."""
    if low == high:  # a constant curve lies in the middle
        low, high = low - (abs(low) or 1.0) / 4, high + (abs(high) or 1.0) / 4
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= 5)
    first = math.floor(low / step + 1e-9)
    return [index * step for index in range(first, math.ceil(high / step - 1e-9) + 1)]


def number(value: float) -> str:
    """Return a number in at most six letters or so."""
    if value and (abs(value) < 1e-2 or abs(value) >= 1e6):
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.4g}k"
    return f"{value:.4g}"


def _path(points: Points, colour: int, x_of: Scale, y_of: Scale, name: str) -> str:
    drawn = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    return f'<polyline class="{name}" style="stroke:{_colour(colour)}" points="{drawn}"/>'


def _entry(line: Line) -> str:
    stroke = f'<path class="line{_dash(line.colour)}" style="stroke:{_colour(line.colour)}" d="M0 4H22"/>'
    sample = f'<svg viewBox="0 0 22 8" aria-hidden="true">{stroke}</svg>'
    return f"<li>{sample} {shown(line.name)} <b>{number(line.points[-1][1])}</b></li>"


def _colour(place: int) -> str:
    return f"var(--c{place % COLOURS})"


def _dash(place: int) -> str:
    return " dashed" if place % 2 else ""
