"""Shared by all pictures: colours, and saving a figure in one step without a display."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from bus_toolkit.safe_text import safe_lines
from bus_toolkit.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

DPI = 130
INK = "#1f2430"
MUTED = "#8a90a0"
GRID = "#e4e6ec"
NAMED = "#00c853"
PREDICTED = "#ff2d95"
DISTRACTOR = "#ffffff"
KEPT = "#ffd23f"
CYCLE = ("#3366cc", "#e0662a", "#2a9d6f", "#9b51b6", "#c9a227", "#d43d6b", "#4aa3c7", "#6b7280")


def in_one_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Return a function that draws with matplotlib's own settings, whatever the user's ``matplotlibrc`` or style is.

    With LaTeX for all texts, say, a name with an underscore would end in an error, and no name would be as it is.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import style

        with style.context("default"):
            return draw(*args, **kwargs)

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, sizes in inches; no window system and no global state are touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def figure_pixels(figure: Figure) -> np.ndarray:
    """Return the pixels that ``save_figure`` would write, uint8 RGB (H, W, 3)."""
    show_safely(figure)
    canvas: Any = figure.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG in one step and return its path."""
    show_safely(figure)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def show_safely(figure: Figure) -> None:
    """Show characters of captions and names that have no shape or turn the writing direction as escapes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if (shown := safe_lines(text.get_text())) != text.get_text():
            text.set_text(shown)
