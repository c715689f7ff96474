"""Changes of colour, under which no pixel moves.

Random numbers come from NumPy's global generator, which a training seeds for each sample.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from bus_toolkit.data.transforms.shares import check_share
from bus_toolkit.registry import TRANSFORMS

_LEVELS = np.arange(256, dtype=np.float32)


@TRANSFORMS.register_module()
class ColourJitter(BaseTransform):
    """Change brightness and contrast a little; hues stay, because captions name colours.

    Slot: ``pipeline`` of a data set.

    Args:
        brightness: Largest shift, as a share of white, in [0, 1].
        contrast: Largest change of the spread around mid-grey, in [0, 1].

    Raises:
        ConfigError: A value outside [0, 1].
    """

    def __init__(self, brightness: float = 0.08, contrast: float = 0.15) -> None:
        check_share("ColourJitter.brightness", brightness)
        check_share("ColourJitter.contrast", contrast)
        self.brightness = brightness
        self.contrast = contrast

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the pixels."""
        gain = 1.0 + np.random.uniform(-self.contrast, self.contrast)
        shift = 128.0 * (1.0 - gain) + 255.0 * np.random.uniform(-self.brightness, self.brightness)
        # A table of the 256 levels is cheaper than arithmetic on every pixel.
        levels = np.clip(np.arange(256) * gain + shift, 0, 255).astype(np.uint8)
        results["img"] = cv2.LUT(results["img"], levels)
        return results


@TRANSFORMS.register_module()
class ColourEnhance(BaseTransform):
    """Multiply brightness, contrast and saturation by random factors, in random order, as Pillow's ``ImageEnhance``.

    As mPLUG's grounding, with 0.4 each (X-PLUG/mPLUG: ``dataset/vg_transforms.py``). Slot: ``pipeline`` of a data set.

    Args:
        brightness: Factors are drawn from 1 minus to 1 plus this, in [0, 1].
        contrast: The same, for the distance from the mean grey.
        saturation: The same, for the distance from the grey of each pixel.
        prob: How often an image is changed.

    Raises:
        ConfigError: A value outside [0, 1].
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, *, prob: float = 0.8
    ) -> None:
        values = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "prob": prob}
        for name, value in values.items():
            check_share(f"ColourEnhance.{name}", value)
        self.spreads = [brightness, contrast, saturation]
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the pixels."""
        if np.random.random() >= self.prob:
            return results
        image = results["img"]
        for index in np.random.permutation(3):
            factor = 1.0 + np.random.uniform(-self.spreads[index], self.spreads[index])
            image = (_brighten, _contrast, _saturate)[index](image, factor)
        results["img"] = image
        return results


def _brighten(image: np.ndarray, factor: float) -> np.ndarray:
    return _blend_with_level(image, 0.0, factor)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.mean(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))[0]
    return _blend_with_level(image, float(round(grey)), factor)


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return cv2.addWeighted(image, factor, cv2.merge([grey] * 3), 1.0 - factor, 0.0)


def _blend_with_level(image: np.ndarray, level: float, factor: float) -> np.ndarray:
    """Move all levels away from one, or towards it; a table of the 256 is cheaper than arithmetic on every pixel."""
    return cv2.LUT(image, (level + factor * (_LEVELS - level)).clip(0, 255).astype(np.uint8))
