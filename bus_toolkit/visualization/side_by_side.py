"""Draw what was kept of one image under several texts, next to each other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bus_toolkit.visualization.canvas import INK, figure_pixels, in_one_style, new_figure, save_figure
from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.patch_marks import dimmed, outline_kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE, _MARGIN, _LINE = 2.6, 0.12, 0.17
_CHARACTERS = 38  # of a title's line


@in_one_style
def draw_side_by_side(pictures: Sequence[PatchPicture], path: Path) -> Path:
    """Draw an image, and for each text the patches that were kept under it; save them as one PNG.

    Args:
        pictures: Of one image, a text each.
        path: The PNG to write.
    """
    return save_figure(_figure(pictures), path)


@in_one_style
def render_side_by_side(pictures: Sequence[PatchPicture]) -> np.ndarray:
    """Return the picture of ``draw_side_by_side`` as pixels, uint8 RGB (H, W, 3)."""
    return figure_pixels(_figure(pictures))


def _figure(pictures: Sequence[PatchPicture]) -> Figure:
    first = pictures[0]
    titles = ["the image", *(_title(picture) for picture in pictures)]
    tall = _SIDE * first.image.shape[0] / first.image.shape[1]
    width = len(titles) * (_SIDE + _MARGIN) + _MARGIN
    height = 2 * _MARGIN + tall + _LINE * max(title.count("\n") + 1 for title in titles)
    figure = new_figure(width, height)
    for column, title in enumerate(titles):
        left = _MARGIN + column * (_SIDE + _MARGIN)
        axes = figure.add_axes((left / width, _MARGIN / height, _SIDE / width, tall / height))
        axes.set_axis_off()
        axes.imshow(
            dimmed(pictures[column - 1].image, pictures[column - 1].kept_grid) if column else first.image,
            interpolation="nearest",
        )
        if column:
            outline_kept(axes, pictures[column - 1].image, pictures[column - 1].kept_grid)
        # parse_math off: a text may hold dollar signs.
        figure.text(left / width, (tall + 1.5 * _MARGIN) / height, title, fontsize=8, color=INK, parse_math=False)
    return figure


def _title(picture: PatchPicture) -> str:
    lines = textwrap.wrap(f"“{picture.caption}”", _CHARACTERS, max_lines=3, placeholder=" ...")
    return "\n".join([*lines, f"{int(picture.kept.sum())} of {picture.kept.size} patches"])
