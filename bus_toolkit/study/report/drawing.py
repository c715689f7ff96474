"""What the plots of a study share: axes and their scales, and files that are equal when drawn again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_toolkit.study.report.cell_text import NOTHING
from bus_toolkit.visualization.canvas import GRID, INK, show_safely
from bus_toolkit.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = 11.0
TITLE = 13.0
LINE = 1.25  # from line to line, in heights of the letters
_HEIGHT, _AROUND = 5.6, 1.1  # inches, of the axes and of what is above and below them
_WIDTH, _BESIDE = 8.0, 0.8  # inches, of the figure and of what is left of the axes
_LONGEST = 44  # letters of a name
FONT = "DejaVu Sans"
# Letters stay text, so that they can be searched; names are never read as mathematics.
_RC: Any = {
    "svg.fonttype": "none",
    "font.family": [FONT],
    "text.parse_math": False,
}


def new_axes(names: int, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a white figure, 8 inches wide, with axes one below the other, each high enough for so many names."""
    from bus_toolkit.visualization.canvas import new_figure

    height = max(_HEIGHT / rows**0.5, names * TEXT * LINE / 72 + _AROUND)
    figure = new_figure(_WIDTH, height * rows)
    return figure, [figure.add_subplot(rows, 1, i + 1) for i in range(rows)]


def style_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Set words and grid."""
    axes.set_title(title, fontsize=title_size(title, _WIDTH - _BESIDE), color=INK, loc="left", weight="bold", pad=10)
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK)
    axes.set_ylabel(y_label, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, colors=INK, length=0, which="both")
    axes.grid(color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def title_size(title: str, inches: float = _WIDTH) -> float:
    """Return the size at which a bold title fits into a width: ``TITLE``, or less for a long one."""
    return TITLE * min(1.0, (inches - 0.2) / max(bold_width(title, TITLE), 1e-6))


def bold_width(text: str, size: float) -> float:
    """Return how wide bold letters of a size are, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():  # which has no outline
        return 0.0
    path = TextPath((0, 0), text, size=size, prop=FontProperties(family=FONT, weight="bold"))
    return float(path.get_extents().width) / 72


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
                show_safely(figure)
                figure.savefig(temporary, format=kind, metadata=empty)
                if kind == "svg":
                    text = temporary.read_text(encoding="utf-8")
                    text = text.replace(f"'{FONT}'", f"'{FONT}', Verdana, sans-serif")
                    temporary.write_text(text.replace("<svg ", '<svg role="img" ', 1), encoding="utf-8")
    return path


def drawing() -> Any:
    """Return the context in which a figure is made: its fonts, names as they are, no settings of a user."""
    from matplotlib import style

    return style.context(["default", _RC])


def plain_name(name: str) -> str:
    """Return a name that XML can hold, on one line; of a long one its beginning, of a blank one a dash."""
    plain = _printable(name).strip() or NOTHING
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
