"""Crops under which pixels and boxes stay consistent; a named object may be kept whole.

A sample has ``img`` uint8 (H, W, 3) and where known ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool
(n,). An object that a crop hides stays in both arrays, without an area: ``PackRegions`` drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxes

from bus_toolkit.data.transforms.shares import check_share
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCropKeepNamed(BaseTransform):
    """Cut out a random window that holds every named object whole, and bring it back to the size of the image.

    Relations between the named objects stay true, since neither is cut and both axes keep their direction. Of an image
    without named boxes any window is cut out, as crops without boxes do: an object that its caption names may then be
    cut. Otherwise images with boxes alone would be varied, and a model could see by the scale which they are.
    Slot: ``pipeline`` of a data set.

    Args:
        scale: Smallest and largest share of each side that the window has, in (0, 1]. It grows where the named objects
            need more.
        named_only: Leave images without named boxes as they are.
        prob: How often an image is cropped, in [0, 1].
        unless_words: Leave images as they are whose text contains one of these, in small letters. mPLUG crops for
            grounding unless an expression says left, right, top, bottom or middle (X-PLUG/mPLUG:
            ``dataset/vg_transforms.py``), since a crop changes what is in the middle.

    Raises:
        ConfigError: Shares that are not ascending or outside (0, 1], or ``prob`` outside [0, 1].
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.8, 1.0),
        *,
        named_only: bool = False,
        prob: float = 1.0,
        unless_words: Sequence[str] = (),
    ) -> None:
        _check_range(scale, "RandomCropKeepNamed.scale", largest=1.0)
        check_share("RandomCropKeepNamed.prob", prob)
        self.smallest, self.largest = scale
        self.named_only = named_only
        self.prob = prob
        self.unless_words = tuple(unless_words)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop the sample."""
        kept = _named_in_view(results)
        if self.named_only and not len(kept):
            return results
        if self.unless_words and any(word in results["text"].lower() for word in self.unless_words):
            return results
        if self.prob < 1.0 and np.random.random() >= self.prob:
            return results
        height, width = results["img"].shape[:2]
        share = np.random.uniform(self.smallest, self.largest)
        left, right = self._window(kept[:, 0::2], width, share)
        top, bottom = self._window(kept[:, 1::2], height, share)
        window = results["img"][top:bottom, left:right]
        results["img"] = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
        if "gt_bboxes" in results:
            factor = np.array([width / (right - left), height / (bottom - top)] * 2, dtype=np.float32)
            results["gt_bboxes"] = (results["gt_bboxes"] - np.array([left, top] * 2, dtype=np.float32)) * factor
        return results

    @staticmethod
    def _window(spans: np.ndarray, side: int, share: float) -> tuple[int, int]:
        """Return a random window of ``share`` of the side, in whole pixels, around all spans (n, 2); n may be 0."""
        low, high = _hull(spans, side) if len(spans) else (side, 0)
        length = max(1, round(side * share), high - low)
        first, last = _starts(low, high, side, length)
        start = np.random.randint(first, last + 1)
        return start, start + length


@TRANSFORMS.register_module()
class RandomResizedCropWithBoxes(BaseTransform):
    """Cut out a window of random area and shape and resize it, as torchvision's ``RandomResizedCrop``; boxes follow.

    Bicubic with antialias: within 2 grey levels of Pillow (below 0.2 on average), at a quarter of its time. ALBEF,
    mPLUG and BLIP take 0.2 to 1 of the area in pre-training and 0.5 to 1 in fine-tuning (salesforce/ALBEF:
    ``dataset/__init__.py``; X-PLUG/mPLUG: ``dataset/__init__.py``; salesforce/BLIP: ``data/__init__.py``).
    They have no boxes, so what happens to those is our choice. Random numbers come from torch's global generator of the
    CPU, which a training seeds for each sample. Slot: ``pipeline`` of a data set.

    Args:
        scale: Width and height in pixels that the sample gets, or one number for both.
        crop_ratio_range: Smallest and largest share of the area that the window has, in (0, 1].
        aspect_ratio_range: Smallest and largest width over height of the window.
        keep_named: False: images with and without named objects are cropped alike, and a named object may be cut, or be
            hidden and lose its label. True: the window is moved, and made larger where it must be, so that it holds
            every named object whole; grounding needs it, since there the named object is the answer.

    Raises:
        ConfigError: A size below 1, or a range that is not ascending or out of bounds.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        crop_ratio_range: Sequence[float] = (0.08, 1.0),
        *,
        aspect_ratio_range: Sequence[float] = (3 / 4, 4 / 3),
        keep_named: bool = False,
    ) -> None:
        name = type(self).__name__
        width, height = _width_height(scale, f"{name}.scale")
        _check_range(crop_ratio_range, f"{name}.crop_ratio_range", largest=1.0)
        _check_range(aspect_ratio_range, f"{name}.aspect_ratio_range", largest=float("inf"))
        self.size = [height, width]
        self.keep_named = keep_named
        self._crop = v2.RandomResizedCrop(self.size, tuple(crop_ratio_range), tuple(aspect_ratio_range))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize the sample."""
        # (3, H, W), a view: torchvision resizes channels that lie together as fast.
        image = torch.from_numpy(np.require(results["img"], requirements=("C", "W"))).permute(2, 0, 1)
        window = self._crop.make_params([image])
        for side in ("height", "width"):
            window[side] = max(window[side], 1)  # torchvision rounds a side of a thin image to 0 where no shape fits
        boxes = results.get("gt_bboxes")
        if self.keep_named:
            _hold(window, _named_in_view(results), image.shape[1:])
        bicubic = v2.InterpolationMode.BICUBIC
        resized = functional.resized_crop(image, **window, size=self.size, interpolation=bicubic, antialias=True)
        results["img"] = np.ascontiguousarray(resized.permute(1, 2, 0).numpy())
        results["img_shape"] = tuple(self.size)
        if boxes is not None:
            corners = BoundingBoxes(torch.from_numpy(boxes).float(), format="XYXY", canvas_size=image.shape[1:])
            results["gt_bboxes"] = functional.resized_crop(corners, **window, size=self.size).numpy()
        return results


def _named_in_view(results: dict[str, Any]) -> np.ndarray:
    """Return the boxes (n, 4) of named objects but for those that an earlier transform has pushed out of view."""
    if "named" not in results:
        return np.zeros((0, 4), dtype=np.float32)
    height, width = results["img"].shape[:2]
    boxes: np.ndarray = results["gt_bboxes"][results["named"]]
    inside = np.clip(boxes, 0, [width, height] * 2)
    return boxes[(inside[:, 2:] > inside[:, :2]).all(axis=1)]


def _hold(window: dict[str, int], boxes: np.ndarray, shape: Sequence[int]) -> None:
    """Change a window, ``top left height width``, so that it holds what is in view of all boxes (n, 4); n may be 0."""
    if not len(boxes):
        return
    sides = (("left", "width", shape[1], boxes[:, 0::2]), ("top", "height", shape[0], boxes[:, 1::2]))
    for start, length, side, spans in sides:
        low, high = _hull(spans, side)
        window[length] = max(window[length], high - low)
        first, last = _starts(low, high, side, window[length])
        if not first <= window[start] <= last:
            window[start] = int(torch.randint(first, last + 1, (1,)))


def _hull(spans: np.ndarray, side: int) -> tuple[int, int]:
    """Return the whole pixels from ``low`` to ``high`` of an axis that hold all spans (n, 2); n > 0."""
    return int(np.floor(spans.min()).clip(0, side)), int(np.ceil(spans.max()).clip(0, side))


def _starts(low: int, high: int, side: int, length: int) -> tuple[int, int]:
    """Return the first and the last start for which a window covers low to high and stays inside the image."""
    return max(0, high - length), min(low, side - length)


def _width_height(scale: int | Sequence[int], location: str) -> tuple[int, int]:
    sides = [scale, scale] if isinstance(scale, int) else list(scale)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ConfigError(f"{location}: must be one or two whole numbers of pixels (width, height), got {scale}.")
    return sides[0], sides[1]


def _check_range(values: Sequence[float], location: str, *, largest: float) -> None:
    if len(values) != 2 or not 0.0 < values[0] <= values[1] <= largest:
        limit = f"in (0, {largest:g}]" if largest < float("inf") else "above 0"
        raise ConfigError(f"{location}: must be [smallest, largest], ascending and {limit}, got {values}.")
