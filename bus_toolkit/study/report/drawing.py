"""What the plots of a study share: colours by role, labels beside the lines, files that are equal when drawn again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_toolkit.study.report.rows import Role
from bus_toolkit.visualization.canvas import GRID, INK
from bus_toolkit.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of Okabe and Ito, which readers with any kind of colour vision can distinguish; the yellow is left out, since
# it is too pale on white.
COLOURS = {
    Role.TEXT_AWARE: "#0072b2",
    Role.TEXT_FREE: "#d55e00",
    Role.SMALLER_IMAGE: "#cc79a7",
    Role.BASELINE: "#6b7280",
    Role.CEILING: "#009e73",
    Role.UNPRUNED: "#1f2430",
    Role.UNKNOWN: "#56b4e9",
}
DASHES = {
    Role.TEXT_AWARE: "-",
    Role.TEXT_FREE: "-",
    Role.SMALLER_IMAGE: (0, (5, 2)),
    Role.BASELINE: (0, (1, 1.2)),
    Role.CEILING: (0, (3, 1, 1, 1)),
    Role.UNPRUNED: (0, (6, 3)),
    Role.UNKNOWN: "-",
}
MARKERS = "osD^vP*Xhp<>d"
TEXT = 11.0
TITLE = 13.0
_LINE = 1.25  # from line to line, in heights of the letters
_HEIGHT, _AROUND = 5.6, 1.1  # inches, of the axes and of what is above and below them
_WIDEST = 0.6  # share of the axes' width that names may take
_BETWEEN = 0.06  # share of it between curves and names
_LONGEST = 44  # letters of a name
_ALIKE = 6  # ends of curves at one value that have names of their own
_FONT = "DejaVu Sans"
# Letters stay text, so that they can be searched; names are never read as mathematics.
_RC: Any = {
    "svg.fonttype": "none",
    "font.family": [_FONT],
    "text.parse_math": False,
}


class Style:
    """A colour, dash and marker for each arm: colour and dash by its role, marker by its place among all arms."""

    def __init__(self, roles: dict[str, Role]) -> None:
        self.roles = roles
        self._markers = {arm: MARKERS[i % len(MARKERS)] for i, arm in enumerate(sorted(roles))}

    def line(self, arm: str) -> dict[str, Any]:
        """Return the arguments of ``plot`` and ``errorbar``."""
        role = self.roles[arm]
        return {
            "color": COLOURS[role],
            "linestyle": DASHES[role],
            "marker": self._markers[arm],
            "linewidth": 2.6 if role is Role.TEXT_AWARE else 1.8,
            "markersize": 6.5,
        }

    def colour(self, arm: str) -> str:
        """Return the colour of an arm."""
        return COLOURS[self.roles[arm]]


def new_axes(names: int, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a white figure, 8 inches wide, with axes one below the other, each high enough for so many names."""
    from bus_toolkit.visualization.canvas import new_figure

    height = max(_HEIGHT / rows**0.5, names * TEXT * _LINE / 72 + _AROUND)
    figure = new_figure(8.0, height * rows)
    return figure, [figure.add_subplot(rows, 1, i + 1) for i in range(rows)]


def style_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Set words and grid."""
    axes.set_title(title, fontsize=TITLE, color=INK, loc="left", weight="bold", pad=10)
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK)
    axes.set_ylabel(y_label, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, colors=INK, length=0, which="both")
    axes.grid(color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


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
    gap = (high - low) * size * _LINE / 72 / inches
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
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family=_FONT, weight="bold")
    widest: float = max(TextPath((0, 0), name or " ", size=size, prop=font).get_extents().width for name in names)
    inches = axes.get_window_extent().width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    return min((widest + 12) / 72 / inches, _WIDEST)


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


def save(figure: Figure, path: Path, title: str) -> Path:
    """Write ``path`` as SVG, and a PNG beside it; neither has a date or the version of a program in it.

    Args:
        figure: To write.
        path: Of the SVG.
        title: What it shows, which a screen reader says in its place.
    """
    import matplotlib

    plain = _printable(title)
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None, "Title": plain},
        "png": {"Software": None, "Title": plain},
    }
    with matplotlib.rc_context({**_RC, "svg.hashsalt": path.stem}):
        for kind, empty in metadata.items():
            with whole_file(path.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, format=kind, metadata=empty)
                if kind == "svg":
                    text = temporary.read_text(encoding="utf-8")
                    text = text.replace(f"'{_FONT}'", f"'{_FONT}', Verdana, sans-serif")
                    temporary.write_text(text.replace("<svg ", '<svg role="img" ', 1), encoding="utf-8")
    return path


def drawing() -> Any:
    """Return the context in which a figure is made: its fonts, names as they are, no settings of a user."""
    from matplotlib import style

    return style.context(["default", _RC])


def plain_name(name: str) -> str:
    """Return a name that XML can hold, on one line; of a long one its beginning, which fits beside curves."""
    plain = _printable(name)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3].rstrip()}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def set_percent(axes: Axes, values: Sequence[float]) -> None:
    """Show per cent from 0 to the tick above the highest value, to 10 at least."""
    highest = max(values)
    step = 20 if highest > 50 else 10 if highest > 20 else 5 if highest > 10 else 2
    top = step * max(math.ceil(highest / step), 10 // step)
    axes.set_ylim(-0.015 * top, 1.04 * top)
    axes.set_yticks(range(0, top + 1, step))


def set_course(axes: Axes, last: float, *, whole: bool = False) -> None:
    """Show the course of a training from 0 to ``last``.

    Args:
        axes: Its x axis is set.
        last: Where the longest curve ends.
        whole: Whether all ticks are whole numbers, such as steps.
    """
    from matplotlib.ticker import MaxNLocator

    last = last or 1.0  # curves of a single point, before the first step
    axes.set_xlim(0, last)
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole).tick_values(0, last)
    axes.set_xticks([tick for tick in ticks if tick <= last])


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
