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
    """Where an image lies on its canvas, in whole pixels: the factors of its two sides may differ a bit."""

    height: int
    width: int
    top: int
    left: int

    def on_canvas(self, boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return boxes (n, 4), corners in pixels of an image of ``shape`` (H, W), in pixels of the canvas."""
        return boxes * self._factors(shape) + [self.left, self.top] * 2

    def on_image(self, boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return boxes (n, 4) of the canvas in pixels of the image: the inverse of ``on_canvas``."""
        return (boxes - [self.left, self.top] * 2) / self._factors(shape)

    def _factors(self, shape: Sequence[int]) -> list[float]:
        return [self.width / shape[1], self.height / shape[0]] * 2


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
        place = self._placement(image.shape[:2], size, at_random=self.random_place)
        pixels = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)
        bilinear = v2.InterpolationMode.BILINEAR
        small = functional.resize(pixels, [place.height, place.width], bilinear, antialias=True)
        canvas = np.empty((self.scale, self.scale, 3), np.uint8)
        canvas[:] = _MEAN_COLOUR
        rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
        canvas[rows, columns] = small.permute(1, 2, 0).numpy()
        if "gt_bboxes" in results:
            # What a crop has cut off would lie on the padding.
            boxes = np.clip(results["gt_bboxes"], 0, [image.shape[1], image.shape[0]] * 2)
            results["gt_bboxes"] = place.on_canvas(boxes, image.shape).astype(np.float32)
        results.update(img=canvas, img_shape=canvas.shape[:2])
        return results

    def placement(self, shape: Sequence[int]) -> Placement:
        """Return the place of an image of ``shape`` (H, W) where nothing is random, as in an evaluation."""
        return self._placement(shape, self.sizes[0])

    def _placement(self, shape: Sequence[int], longer: int, *, at_random: bool = False) -> Placement:
        """Return the place of an image whose longer side becomes ``longer``."""
        height, width = (max(1, round(side * longer / max(shape[:2]))) for side in shape[:2])
        spare = [self.scale - height, self.scale - width]
        top, left = np.random.randint(0, np.add(spare[::-1], 1))[::-1] if at_random else (side // 2 for side in spare)
        return Placement(height, width, int(top), int(left))
