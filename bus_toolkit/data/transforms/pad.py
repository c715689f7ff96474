"""The whole image on a square canvas, its proportions kept, and the way back for boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import TRANSFORMS

# CLIP's mean colour, blue green red: 0 after normalisation.
_MEAN_COLOUR = (104, 117, 123)


class Placement(NamedTuple):
    """Where an image lies on its canvas: pixels of the canvas for one of the image, and its left top corner."""

    factor: float
    left: int
    top: int


@TRANSFORMS.register_module()
class ResizeAndPad(BaseTransform):
    """Resize the longer side, keep the proportions, and pad to a square with CLIP's mean colour; boxes follow.

    Bilinear with antialias, as mPLUG's grounding (X-PLUG/mPLUG: ``dataset/grounding_dataset.py`` and
    ``dataset/vg_transforms.py``). Random numbers come from NumPy's global generator, which a training seeds for each
    sample. Slot: ``pipeline`` of a data set.

    Args:
        scale: Pixels of a side of the canvas.
        sizes: Lengths in pixels of the longer side to draw from; ``None`` for ``scale``. mPLUG trains with 336, 320,
            ..., 240 on 336 pixels.
        random_place: Lay the image anywhere on the canvas, as mPLUG's training does; else in the middle.

    Raises:
        ConfigError: ``scale`` below 1, or a size outside 1 to ``scale``.
    """

    def __init__(self, scale: int, *, sizes: Sequence[int] | None = None, random_place: bool = False) -> None:
        self.scale, self.random_place = scale, random_place
        self.sizes = [scale] if sizes is None else list(sizes)
        if scale < 1 or not self.sizes or min(self.sizes) < 1 or max(self.sizes) > scale:
            raise ConfigError(f"ResizeAndPad.sizes: must be from 1 to scale ({scale}), got {self.sizes}.")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize and pad the sample."""
        image = results["img"]
        size = self.sizes[np.random.randint(len(self.sizes))] if len(self.sizes) > 1 else self.sizes[0]
        height, width = _fitted(image.shape[:2], size)
        spare = (self.scale - width, self.scale - height)
        left, top = np.random.randint(0, np.add(spare, 1)) if self.random_place else (spare[0] // 2, spare[1] // 2)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        small = functional.resize(pixels, [height, width], v2.InterpolationMode.BILINEAR, antialias=True)
        canvas = np.empty((self.scale, self.scale, 3), np.uint8)
        canvas[:] = _MEAN_COLOUR
        canvas[top : top + height, left : left + width] = small.permute(1, 2, 0).numpy()
        if "gt_bboxes" in results:
            # What a crop has cut off would lie on the padding.
            boxes = np.clip(results["gt_bboxes"], 0, [image.shape[1], image.shape[0]] * 2)
            factors = [width / image.shape[1], height / image.shape[0]] * 2
            results["gt_bboxes"] = (boxes * factors + [left, top, left, top]).astype(np.float32)
        results.update(img=canvas, img_shape=canvas.shape[:2])
        return results

    def placement(self, shape: tuple[int, int]) -> Placement:
        """Return the place of an image of ``shape`` (H, W) where nothing is random, as in an evaluation."""
        height, width = _fitted(shape, self.sizes[0])
        return Placement(self.sizes[0] / max(shape), (self.scale - width) // 2, (self.scale - height) // 2)


def _fitted(shape: tuple[int, int], longer: int) -> tuple[int, int]:
    """Return height and width of an image whose longer side becomes ``longer``."""
    height, width = (max(1, round(side * longer / max(shape))) for side in shape)
    return height, width
