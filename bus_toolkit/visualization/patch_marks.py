"""Show in an image which of its patches were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bus_toolkit.visualization.canvas import KEPT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def dimmed(image: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) with dropped patches grey and dark; ``kept`` is bool (rows, columns)."""
    height, width = image.shape[:2]
    rows, columns = kept.shape
    # (rows, columns) to (H, W): each pixel takes the flag of its patch.
    kept = kept[np.arange(height) * rows // height][:, np.arange(width) * columns // width]
    grey = image.mean(axis=2, keepdims=True) * 0.22 + 22.0
    return np.where(kept[..., None], image, np.repeat(grey, 3, axis=2)).astype(np.uint8)


def outline_kept(axes: Axes, image: np.ndarray, kept: np.ndarray) -> None:
    """Draw the border between kept and dropped patches, bool (rows, columns), of an image (H, W, 3)."""
    from matplotlib.collections import LineCollection

    height, width = image.shape[:2]
    rows, columns = kept.shape
    # A frame of dropped patches, (rows + 2, columns + 2), closes the outline at the border of the image.
    kept = np.pad(kept, 1)
    dy, dx = height / rows, width / columns
    segments = [
        [(x * dx - 0.5, y * dy - 0.5), (x * dx - 0.5, (y + 1) * dy - 0.5)]
        for y, x in np.argwhere(kept[1:-1, 1:] != kept[1:-1, :-1])
    ]
    segments += [
        [(x * dx - 0.5, y * dy - 0.5), ((x + 1) * dx - 0.5, y * dy - 0.5)]
        for y, x in np.argwhere(kept[1:, 1:-1] != kept[:-1, 1:-1])
    ]
    axes.add_collection(LineCollection(segments, colors=KEPT, linewidths=1.3, capstyle="projecting"))
