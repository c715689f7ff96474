"""Crops under which pixels and boxes stay consistent; a named object may be kept whole.

A sample has ``img`` uint8 (H, W, 3) and where known ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool
(n,). An object that a crop hides stays in both arrays, without an area: ``PackRegions`` drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

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

    Raises:
        ConfigError: Shares that are not ascending or outside (0, 1].
    """

    def __init__(self, scale: tuple[float, float] = (0.8, 1.0), *, named_only: bool = False) -> None:
        _check_range(scale, "RandomCropKeepNamed.scale", largest=1.0)
        self.smallest, self.largest = scale
        self.named_only = named_only

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop the sample."""
        named = results.get("named")
        kept = np.zeros((0, 4)) if named is None else results["gt_bboxes"][named]
        if self.named_only and not len(kept):
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


def _hull(spans: np.ndarray, side: int) -> tuple[int, int]:
    """Return the whole pixels from ``low`` to ``high`` of an axis that hold all spans (n, 2); n > 0."""
    return int(np.floor(spans.min()).clip(0, side)), int(np.ceil(spans.max()).clip(0, side))


def _starts(low: int, high: int, side: int, length: int) -> tuple[int, int]:
    """Return the first and the last start for which a window covers low to high and stays inside the image."""
    return max(0, high - length), min(low, side - length)


def _check_range(values: Sequence[float], location: str, *, largest: float) -> None:
    if len(values) != 2 or not 0.0 < values[0] <= values[1] <= largest:
        limit = f"in (0, {largest:g}]" if largest < float("inf") else "above 0"
        raise ConfigError(f"{location}: must be [smallest, largest], ascending and {limit}, got {values}.")
