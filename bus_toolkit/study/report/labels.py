"""Names beside the ends of the lines of a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bus_toolkit.study.report.drawing import LINE, TEXT, bold_width
from bus_toolkit.visualization.canvas import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDEST = 0.6  # share of the axes' width that names may take
_BETWEEN = 0.06  # share of it between curves and names
_ALIKE = 6  # ends of curves at one value that have names of their own


def name_curves(axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, size: float = TEXT) -> None:
    """Write names (``label_lines``) on the right of a course, and make the room that they take.

    Args:
        axes: After ``set_course`` and with its place in the figure.
        ends: (x, y, name, colour) of each curve's end.
        size: Of the letters, in points.
    """
    last = axes.get_xlim()[1]
    share = share_of_names(axes, [name for _, _, name, _ in ends], size=size)
    whole = last / (1 - share - _BETWEEN)
    axes.set_xlim(0, whole)
    label_lines(axes, last + _BETWEEN * whole, ends, size=size)


def label_lines(
    axes: Axes, x: float, ends: Sequence[tuple[float, float, str, str]], *, size: float = TEXT, left: bool = False
) -> None:
    """Write names in a column at ``x``, a thin line from each to the end of its curve, none over another one.

    Args:
        axes: With its limits and its place in the figure set.
        x: Where the column is, in data coordinates.
        ends: (x, y, name, colour) of each curve's end.
        size: Of the letters, in points.
        left: Whether the names end at ``x``, on the left of their curves, rather than begin there.
    """
    low, high = axes.get_ylim()
    inches = axes.get_window_extent().height / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    gap = (high - low) * size * LINE / 72 / inches
    order = sorted(_gathered(ends), key=lambda end: end[1])
    places = spread([end[1] for end in order], gap, low + gap / 2, high - gap / 2)
    for (end_x, end_y, name, colour), y in zip(order, places, strict=True):
        axes.plot([end_x, x], [end_y, y], color=colour, linewidth=0.7, alpha=0.55, zorder=1)
        style: Any = {
            "color": colour,
            "fontsize": size,
            "va": "center",
            "ha": "right" if left else "left",
            "weight": "bold",
        }
        axes.annotate(name, (x, y), xytext=(-4 if left else 4, 0), textcoords="offset points", **style)


def _gathered(ends: Sequence[tuple[float, float, str, str]]) -> list[tuple[float, float, str, str]]:
    """Return the ends with one name for more than ``_ALIKE`` that a reader of the tables cannot distinguish."""
    alike: dict[str, list[tuple[float, float, str, str]]] = {}
    for end in ends:
        alike.setdefault(f"{end[1]:.1f}", []).append(end)
    gathered = []
    for value, group in alike.items():
        x, y, _, _ = group[0]
        gathered += [(x, y, f"{len(group)} arms at {value} %", INK)] if len(group) > _ALIKE else group
    return gathered


def share_of_names(axes: Axes, names: Iterable[str], *, size: float = TEXT) -> float:
    """Return the share of the width of ``axes``, which has its place in the figure, that the longest name takes."""
    widest = max(bold_width(name, size) for name in names)
    inches = axes.get_window_extent().width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    return min((widest + 12 / 72) / inches, _WIDEST)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places near the ``wanted`` ones, ascending, at least ``gap`` apart and in [low, high] if they fit."""
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    groups: list[tuple[float, int]] = []  # centre and number of names that touch
    for place in wanted:
        groups.append((place, 1))
        groups[-1] = (_within(groups[-1][0], 1, gap, low, high), 1)
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2 - 1e-9:
            (centre, count), (last, more) = groups[-2], groups[-1]
            total = count + more
            merged = _within((centre * count + last * more) / total, total, gap, low, high)
            groups[-2:] = [(merged, total)]
    return [centre + gap * (i - (count - 1) / 2) for centre, count in groups for i in range(count)]


def _within(centre: float, count: int, gap: float, low: float, high: float) -> float:
    half = gap * (count - 1) / 2
    return min(max(centre, low + half), max(high - half, low + half))
