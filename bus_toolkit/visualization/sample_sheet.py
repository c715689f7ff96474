"""Draw samples as a training gets them, on one sheet."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bus_toolkit.visualization.canvas import DISTRACTOR, INK, KEPT, MUTED, NAMED, in_one_style, new_figure, save_figure
from bus_toolkit.visualization.samples import SamplePicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN, _HEADER = 0.16, 0.34
_LINE, _CHARACTERS = 0.15, 15  # inches a line of text, characters an inch
_MOST_LINES = 5
_LEGEND_WIDTH = 5.3
_LEGEND = (
    ("named by the text", NAMED),
    ("dashed: other objects", MUTED),
    ("patches labelled true", "#b8860b"),
)


@in_one_style
def draw_samples(
    pictures: Sequence[SamplePicture], path: Path, *, columns: int | None = None, side: float = 2.9
) -> Path:
    """Draw samples side by side and save them as one PNG.

    Args:
        pictures: At least one.
        path: The PNG to write.
        columns: Samples a row; ``None`` for 4, or 2 where the samples are wide.
        side: Width of a sample in inches; twice as much for wide samples where ``columns`` is ``None``.
    """
    if columns is None:
        is_wide = np.median([_shape(picture) for picture in pictures]) > 2
        columns, side = (2, 2 * side) if is_wide else (4, side)
    columns = min(columns, len(pictures))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    lines = {id(picture): _lines(picture, side) for picture in pictures}
    tall = [max(_image_height(p, side) for p in row) for row in rows]
    texts = [max(len(lines[id(p)]) for p in row) * _LINE for row in rows]
    width = max(columns * (side + _MARGIN) + _MARGIN, _LEGEND_WIDTH)
    height = _HEADER + sum(tall) + sum(texts) + len(rows) * 1.5 * _MARGIN + _MARGIN / 2
    figure = new_figure(width, height)
    _legend(figure, pictures, width, height)
    top = height - _HEADER
    for row, image_height, text_height in zip(rows, tall, texts, strict=True):
        for column, picture in enumerate(row):
            left = _MARGIN + column * (side + _MARGIN)
            _draw_images(figure, picture, left, top, side, width, height)
            below = top - _image_height(picture, side) - _LINE * 0.9
            _write(figure, lines[id(picture)], left, below, width, height)
        top -= image_height + text_height + 1.5 * _MARGIN
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        return save_figure(figure, path)


def _image_height(picture: SamplePicture, side: float) -> float:
    """Return the inches that the images of a sample need, side by side; a tall one is drawn narrower."""
    return min(_scale(picture, side) * max(image.shape[0] for image in picture.images), 1.6 * side)


def _shape(picture: SamplePicture) -> float:
    """Return width over height of the images of a sample, side by side."""
    return sum(image.shape[1] for image in picture.images) / max(image.shape[0] for image in picture.images)


def _scale(picture: SamplePicture, side: float) -> float:
    """Return inches a pixel with which all images fit into ``side``."""
    gaps = 0.06 * (len(picture.images) - 1)
    return (side - gaps) / sum(image.shape[1] for image in picture.images)


def _draw_images(
    figure: Figure, picture: SamplePicture, left: float, top: float, side: float, width: float, height: float
) -> None:
    room = _image_height(picture, side)
    scale = min(_scale(picture, side), room / max(image.shape[0] for image in picture.images))
    for number, image in enumerate(picture.images):
        wide, tall = image.shape[1] * scale, image.shape[0] * scale
        axes = figure.add_axes((left / width, (top - tall) / height, wide / width, tall / height))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=MUTED, linewidth=0.6)
        if number == 0:
            _shade(axes, picture)
            _draw_boxes(axes, picture)
        left += wide + 0.06


def _shade(axes: Axes, picture: SamplePicture) -> None:
    """Leave the patches whose label is true as they are, inside a line; dim those of other objects, and more the rest.

    Dimmed, not tinted: the colours of the objects are often what the text speaks of.
    """
    from matplotlib.collections import LineCollection

    if picture.labels is None or picture.covered is None:
        return
    rows, columns = picture.labels.shape
    height, width = picture.images[0].shape[:2]
    patch = min(height // rows, width // columns)
    veil = np.zeros((rows, columns, 4), dtype=np.float32)
    veil[..., 3] = np.where(picture.labels, 0.0, np.where(picture.covered, 0.28, 0.5))
    extent = (-0.5, columns * patch - 0.5, rows * patch - 0.5, -0.5)
    axes.imshow(veil, extent=extent, interpolation="nearest", aspect="auto")
    # A frame of false labels, (rows + 2, columns + 2), closes the outline at the border of the image.
    inside = np.pad(picture.labels, 1)
    across = [((x, y), (x, y + 1)) for y, x in np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1])]
    along = [((x, y), (x + 1, y)) for y, x in np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1])]
    # (lines, 2 ends, x and y), from patches to pixels; the centre of pixel 0 is at 0, its edge at -0.5.
    lines = np.array(across + along, dtype=np.float32).reshape(-1, 2, 2) * patch - 0.5
    axes.add_collection(LineCollection(list(lines), colors=KEPT, linewidths=1.0, capstyle="projecting"))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _draw_boxes(axes: Axes, picture: SamplePicture) -> None:
    """Draw the boxes, named ones above; a dark line below each keeps it visible on any picture."""
    from matplotlib.patches import Rectangle

    if picture.boxes is None:
        return
    named = picture.named if picture.named is not None else np.zeros(len(picture.boxes), dtype=bool)
    for (left, top, right, bottom), is_named in sorted(
        zip(picture.boxes, named, strict=True), key=lambda pair: bool(pair[1])
    ):
        place, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        axes.add_patch(
            Rectangle(place, *size, fill=False, edgecolor=INK, linewidth=2.6 if is_named else 1.6, alpha=0.7)
        )
        style: dict[str, Any] = {"linewidth": 1.5} if is_named else {"linewidth": 1.0, "linestyle": (0, (3, 2))}
        axes.add_patch(Rectangle(place, *size, fill=False, edgecolor=NAMED if is_named else DISTRACTOR, **style))


def _lines(picture: SamplePicture, side: float) -> list[tuple[str, str]]:
    """Return lines of text, each with its colour; a long line is cut with dots, a file name at its start."""
    wide = int(side * _CHARACTERS)
    lines = []
    for heading, text in picture.texts:
        if not heading:
            lines.append((text if len(text) <= wide else f"...{text[3 - wide :]}", MUTED))
            continue
        # A caption may hold line ends, and 10,000 words.
        whole = f"{heading}: {' '.join(text.split())}"
        lines += [(line, INK) for line in textwrap.wrap(whole, wide, max_lines=_MOST_LINES, placeholder=" ...")]
    return lines


def _write(
    figure: Figure, lines: Sequence[tuple[str, str]], left: float, top: float, width: float, height: float
) -> None:
    for number, (line, colour) in enumerate(lines):
        # parse_math off: a caption may hold dollar signs.
        figure.text(
            left / width, (top - number * _LINE) / height, line, fontsize=8, color=colour, parse_math=False
        )  # fmt: skip


def _legend(figure: Figure, pictures: Sequence[SamplePicture], width: float, height: float) -> None:
    shown = [any(p.boxes is not None for p in pictures)] * 2 + [any(p.labels is not None for p in pictures)]
    left = _MARGIN
    for (text, colour), there in zip(_LEGEND, shown, strict=True):
        if there:
            figure.text(left / width, (height - _HEADER * 0.66) / height, text, fontsize=8, color=colour, weight="bold")
            left += 0.25 + len(text) / _CHARACTERS * 1.1  # bold
