"""Draw which patches of an image survived for its caption, with the selector's score map beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bus_toolkit.errors import DataError
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.visualization.canvas import (
    DISTRACTOR,
    INK,
    MUTED,
    NAMED,
    PREDICTED,
    figure_pixels,
    in_one_style,
    new_figure,
    save_figure,
)
from bus_toolkit.visualization.patch_marks import dimmed, outline_kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE = 0.32
_SIDE = 2.35
_MARGIN = 0.12
_HEADER = 0.36


@dataclass(frozen=True)
class PatchPicture:
    """One image, the patches that were kept of it, and their scores.

    Attributes:
        image: uint8 RGB (H, W, 3), as the model saw it.
        caption: The caption that conditioned the selection.
        grid: Rows and columns of patches.
        kept: bool (N,), the patch survived as its own token.
        scores: float (N,), of the first selector, or ``None``.
        other_scores: float (N,), the scores under another image's caption, or ``None``.
        boxes: float (n, 4), xyxy in pixels, or ``None``.
        named: bool (n,), the caption names the object.
        predicted: float (4,), xyxy in pixels, of the object that a grounding head finds; or ``None``.
    """

    image: np.ndarray
    caption: str
    grid: tuple[int, int]
    kept: np.ndarray
    scores: np.ndarray | None = None
    other_scores: np.ndarray | None = None
    boxes: np.ndarray | None = None
    named: np.ndarray | None = None
    predicted: np.ndarray | None = None

    @property
    def kept_grid(self) -> np.ndarray:
        """``kept`` by rows and columns of patches."""
        return self.kept.reshape(self.grid)

    @classmethod
    def from_prediction(cls, inputs: Any, sample: Mapping[str, Any]) -> PatchPicture:
        """Read a picture off a loader's image (BGR, (3, H, W), 0-255) and the fields of the predicted sample.

        Raises:
            DataError: The number of patches differs from the grid.
        """
        rows, columns = (int(side) for side in sample["patch_grid"])
        kept = _array(sample["kept"]).astype(bool).reshape(-1)  # (patches,)
        if kept.size != rows * columns:
            raise DataError(f"PatchPicture: kept must have {rows} x {columns} entries (patch_grid), got {kept.size}.")
        # (3, H, W), blue green red, to (H, W, 3), red green blue.
        image = _array(inputs).clip(0, 255).astype(np.uint8)[::-1].transpose(1, 2, 0)
        scores = _patches(sample, "scores", kept.size)
        boxes, predicted = sample.get("gt_boxes"), sample.get("pred_box")
        return cls(
            image=np.ascontiguousarray(image),
            caption=str(sample.get("text", "")),
            grid=(rows, columns),
            kept=kept,
            scores=_patches(sample, "patch_scores", kept.size) if scores is None else scores,
            other_scores=_patches(sample, "patch_scores_shuffled", kept.size),
            boxes=None if boxes is None else _array(boxes).reshape(-1, 4),
            named=None if boxes is None or sample.get("named") is None else _array(sample["named"]).astype(bool),
            predicted=None if predicted is None else _array(predicted).astype(float).reshape(4),
        )


@in_one_style
def draw_kept_patches(pictures: Sequence[PatchPicture], path: Path) -> Path:
    """Draw one row a picture and save them as one PNG.

    From left to right: the image with its boxes (named objects in colour, and the one that a grounding head found), the
    kept patches outlined and the dropped ones dimmed, the score map, and the score map under another caption on the
    same scale, where these are known.

    Args:
        pictures: At least one.
        path: The PNG to write.
    """
    return save_figure(_figure(pictures), path)


@in_one_style
def render_kept_patches(pictures: Sequence[PatchPicture]) -> np.ndarray:
    """Return the picture of ``draw_kept_patches`` as pixels, uint8 RGB (H, W, 3)."""
    return figure_pixels(_figure(pictures))


def _figure(pictures: Sequence[PatchPicture]) -> Figure:
    columns = 2 + any(p.scores is not None for p in pictures) + any(p.other_scores is not None for p in pictures)
    heights = [_SIDE * p.image.shape[0] / p.image.shape[1] for p in pictures]
    width = columns * (_SIDE + _MARGIN) + _MARGIN
    height = _HEADER + sum(heights) + len(pictures) * (_TITLE + _MARGIN)
    figure = new_figure(width, height)
    _header(figure, columns, pictures, width, height)
    top = height - _HEADER
    for picture, tall in zip(pictures, heights, strict=True):
        caption = textwrap.shorten(f"“{picture.caption}”", int(width * 13), placeholder=" ...”")
        # parse_math off: a caption may hold dollar signs.
        figure.text(
            _MARGIN / width,
            (top - _TITLE * 0.72) / height,
            caption,
            fontsize=9.5,
            color=INK,
            weight="bold",
            parse_math=False,
        )
        top -= _TITLE + tall
        axes = [_add_axes(figure, column, top, tall, width, height) for column in range(columns)]
        _draw_row(axes, picture)
        top -= _MARGIN
    return figure


def _header(figure: Figure, columns: int, pictures: Sequence[PatchPicture], width: float, height: float) -> None:
    titles = ["image, named objects in green", "kept patches", "score of the first selector", "score, another caption"]
    if not any(p.boxes is not None for p in pictures):
        titles[0] = "image"
    if any(p.predicted is not None for p in pictures):
        titles[0] = "meant: green, found: pink"
    for column, title in enumerate(titles[:columns]):
        left = _MARGIN + column * (_SIDE + _MARGIN)
        figure.text(left / width, (height - _HEADER * 0.62) / height, title, fontsize=9, color=MUTED)


def _add_axes(figure: Figure, column: int, bottom: float, tall: float, width: float, height: float) -> Axes:
    left = _MARGIN + column * (_SIDE + _MARGIN)
    axes = figure.add_axes((left / width, bottom / height, _SIDE / width, tall / height))
    axes.set_axis_off()
    return axes


def _draw_row(axes: list[Axes], picture: PatchPicture) -> None:
    axes[0].imshow(picture.image, interpolation="nearest")
    _draw_boxes(axes[0], picture, plain=True)
    _draw_predicted(axes[0], picture)
    axes[1].imshow(dimmed(picture.image, picture.kept_grid), interpolation="nearest")
    outline_kept(axes[1], picture.image, picture.kept_grid)
    share = f"{int(picture.kept.sum())}/{picture.kept.size}"
    axes[1].text(
        0.98, 0.03, share, transform=axes[1].transAxes, ha="right", fontsize=8, color="white",
        bbox={"facecolor": "black", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"},
    )  # fmt: skip
    known = [s[np.isfinite(s)] for s in (picture.scores, picture.other_scores) if s is not None]
    finite = np.concatenate(known) if known else np.zeros(0)
    limits = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for place, scores in zip(axes[2:], (picture.scores, picture.other_scores), strict=False):
        if scores is not None:
            _draw_scores(place, picture, scores, limits)


def _draw_scores(axes: Axes, picture: PatchPicture, scores: np.ndarray, limits: tuple[float, float]) -> None:
    height, width = picture.image.shape[:2]
    # (patches,) to (rows, columns); pruned patches have no finite score and show the grey of the axes.
    shown = np.ma.masked_invalid(scores.reshape(picture.grid))
    axes.set_facecolor("#c8ccd4")
    axes.imshow(
        shown,
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    _draw_boxes(axes, picture, plain=False)


def _draw_boxes(axes: Axes, picture: PatchPicture, *, plain: bool) -> None:
    from matplotlib.patches import Rectangle

    if picture.boxes is None:
        return
    named = picture.named if picture.named is not None else np.zeros(len(picture.boxes), dtype=bool)
    for (left, top, right, bottom), is_named in sorted(
        zip(picture.boxes, named, strict=True), key=lambda pair: bool(pair[1])
    ):
        if not is_named and not plain:
            continue
        style: dict[str, Any] = (
            {"edgecolor": NAMED, "linewidth": 1.8}
            if is_named
            else {"edgecolor": DISTRACTOR, "linewidth": 1.0, "linestyle": "--"}
        )
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, **style))


def _draw_predicted(axes: Axes, picture: PatchPicture) -> None:
    from matplotlib.patches import Rectangle

    if picture.predicted is not None:
        left, top, right, bottom = picture.predicted
        style: dict[str, Any] = {"edgecolor": PREDICTED, "linewidth": 1.8, "linestyle": (0, (4, 2))}
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, **style))


def _patches(sample: Mapping[str, Any], name: str, count: int) -> np.ndarray | None:
    """Return scores (N,), or ``None`` if they are missing or not one a patch of the image."""
    value = sample.get(name)
    if value is None:
        return None
    scores = _array(value).astype(np.float32).reshape(-1)
    return scores if scores.size == count else None


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (at_least_float32(value) if value.is_floating_point() else value).numpy()
    return np.asarray(value)
