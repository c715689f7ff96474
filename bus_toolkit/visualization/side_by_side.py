"""Draw what was kept of one image under several texts, by one model or by several, next to each other."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bus_toolkit.visualization.canvas import DPI, INK, figure_pixels, in_one_style, new_figure, save_figure
from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.patch_marks import dimmed, outline_kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In inches; whole pixels, so that each pixel of a small image is a square and the file stays small.
_SIDE, _SIDE_OF_SEVERAL = 338 / DPI, 247 / DPI  # of an image at most, for one model and for several
_MARGIN, _LINE = 16 / DPI, 22 / DPI
_CHARACTERS = 14.5  # an inch of a title's line


@in_one_style
def draw_side_by_side(models: Mapping[str, Sequence[PatchPicture]], path: Path) -> Path:
    """Draw an image and what was kept of it under each text, and save all as one PNG.

    One model has the texts next to each other, several have a column each and a row for each text.

    Args:
        models: By a name for titles, what a model kept of the image under each text; all have the same texts.
        path: The PNG to write.
    """
    return save_figure(_figure(models), path)


@in_one_style
def render_side_by_side(models: Mapping[str, Sequence[PatchPicture]]) -> np.ndarray:
    """Return the picture of ``draw_side_by_side`` as pixels, uint8 RGB (H, W, 3)."""
    return figure_pixels(_figure(models))


def _figure(models: Mapping[str, Sequence[PatchPicture]]) -> Figure:
    is_one = len(models) == 1
    image = next(iter(models.values()))[0].image
    side = _width(image.shape[1] / DPI, _SIDE if is_one else _SIDE_OF_SEVERAL)
    titled = [
        [(_title("" if is_one else name, picture, side), picture) for picture in pictures]
        for name, pictures in models.items()
    ]
    rows = titled if is_one else list(zip(*titled, strict=True))
    tall = side * image.shape[0] / image.shape[1]
    above = _LINE * max(title.count("\n") + 1 for row in rows for title, _ in row)
    width = (1 + len(rows[0])) * (side + _MARGIN) + _MARGIN
    height = len(rows) * (2 * _MARGIN + tall + above)
    figure = new_figure(width, height)

    def place(row: int, column: int, title: str) -> Axes:
        left, bottom = _MARGIN + column * (side + _MARGIN), height - (row + 1) * height / len(rows) + _MARGIN
        axes = figure.add_axes((left / width, bottom / height, side / width, tall / height))
        axes.set_axis_off()
        # parse_math off: a text may hold dollar signs.
        top = (bottom + tall + 0.5 * _MARGIN) / height
        figure.text(left / width, top, title, fontsize=8, color=INK, parse_math=False)
        return axes

    place(0, 0, "the image").imshow(image, interpolation="nearest")
    for i, row in enumerate(rows):
        for column, (title, picture) in enumerate(row, start=1):
            axes = place(i, column, title)
            axes.imshow(dimmed(picture.image, picture.kept_grid), interpolation="nearest")
            outline_kept(axes, picture.image, picture.kept_grid)
    return figure


def _width(own: float, most: float) -> float:
    """Return a multiple of the own width, or the greatest one for a wide image; in inches."""
    return most if own > most else own * math.floor(most / own)


def _title(name: str, picture: PatchPicture, side: float) -> str:
    """Return the lines above a picture, none wider than it: the model's name, the text, and how much was kept."""
    width = int(_CHARACTERS * side)
    named = textwrap.wrap(name, width, max_lines=2, placeholder=" ...")
    lines = textwrap.wrap(f"“{picture.caption}”", width, max_lines=3, placeholder=" ...")
    return "\n".join([*named, *lines, f"{int(picture.kept.sum())} of {picture.kept.size} patches"])
