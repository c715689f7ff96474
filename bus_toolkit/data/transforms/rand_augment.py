"""RandAugment as in ALBEF, mPLUG and BLIP, under which boxes follow the pixels.

The ten operations, their strengths and the order of the random draws are those of salesforce/ALBEF:
``dataset/randaugment.py`` (the same file in X-PLUG/mPLUG: ``dataset`` and salesforce/BLIP: ``transform``);
mmpretrain's and torchvision's RandAugment have other lists and strengths. Pixels are equal to theirs but for two slips
there, in which we follow Pillow as their docstrings say: ``AutoContrast`` whitens a channel whose darkest pixel is not
0 (a negative number of 8 bits wraps around), and ``Sharpness`` wraps values above 255 around to black.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from bus_toolkit.data.transforms.outlines import cut, hulls, is_inside, move, outlines_of
from bus_toolkit.data.transforms.shares import check_share
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import TRANSFORMS
from bus_toolkit.signatures import did_you_mean

_LARGEST_MAGNITUDE = 10.0
_GREY = (128, 128, 128)
_LEVELS = np.arange(256)
# Pixels that named objects may lie outside of the image by rounding.
_SLACK = 1e-3


@TRANSFORMS.register_module()
class RandAugmentWithBoxes(BaseTransform):
    """Apply ``num_ops`` random operations one by one, each with probability ``prob``.

    ``AutoContrast``, ``Equalize``, ``Brightness`` and ``Sharpness`` change colours; ``ShearX``, ``ShearY``,
    ``TranslateX``, ``TranslateY`` and ``Rotate`` move pixels and boxes and fill the rest with grey; ``Identity``
    changes nothing. They are those of ALBEF, BLIP and mPLUG (salesforce/ALBEF: ``dataset/randaugment.py``) but for
    ``AutoContrast``, which is Pillow's: theirs makes a channel white that has no black pixel. A moved box becomes the
    upright hull of what is in view of it; an object of which nothing is in view keeps its row without an area, and
    ``PackRegions`` drops it. Words stay: left remains left under all of them. Random numbers come from NumPy's global
    generator, which a training seeds for each sample. Slot: ``pipeline`` of a data set, after the crop.

    Args:
        num_ops: Operations to draw, with replacement.
        magnitude: Strength of all of them, from 0 to 10. ALBEF and mPLUG take 7: rotations by 21 degrees, shears by
            0.21, shifts by 7 pixels at any image size, brightness and sharpness times 1.36; BLIP takes 5.
        prob: How often a drawn operation is applied; 0.5 in all of them.
        operations: Names of the operations to draw from; ``None`` for all ten.
        keep_named: Leave out an operation that would push a part of a named object out of view; grounding needs it.

    Raises:
        ConfigError: A value out of range, or an unknown operation.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: float = 7.0,
        *,
        prob: float = 0.5,
        operations: Sequence[str] | None = None,
        keep_named: bool = False,
    ) -> None:
        names = list(_COLOUR_AND_PLACE if operations is None else operations)
        _check(num_ops, magnitude, prob, names)
        self.num_ops, self.prob, self.keep_named = num_ops, prob, keep_named
        self.share = magnitude / _LARGEST_MAGNITUDE
        self.operations = names

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Apply the drawn operations."""
        image, boxes = results["img"], results.get("gt_bboxes")
        size = image.shape[:2]
        outlines = None if boxes is None else outlines_of(boxes, size)
        moved = False
        for index in np.random.choice(len(self.operations), self.num_ops):
            if np.random.random() > self.prob:
                continue
            name = self.operations[int(index)]
            if name in _PLACE:
                matrix = _PLACE[name](self.share, size)
                after = None if outlines is None else move(outlines, matrix)
                if after is not None and self.keep_named and _loses_named(after, results["named"], size):
                    continue
                image = cv2.warpAffine(image, matrix, size[::-1], borderValue=_GREY)
                outlines, moved = None if after is None else cut(after, size), True
            else:
                image = _COLOUR[name](image, self.share)
        results["img"] = image
        if moved and outlines is not None:
            results["gt_bboxes"] = hulls(outlines)
        return results


def _loses_named(outlines: list[np.ndarray], named: np.ndarray, size: tuple[int, int]) -> bool:
    return not all(
        is_inside(outline, size, _SLACK) for outline, is_named in zip(outlines, named, strict=True) if is_named
    )


def _identity(image: np.ndarray, _: float) -> np.ndarray:
    return image


def _stretch(image: np.ndarray, _: float) -> np.ndarray:
    """Stretch each channel to the whole range, as Pillow's ``autocontrast`` does."""
    ranges = [cv2.minMaxLoc(channel)[:2] for channel in cv2.split(image)]  # NumPy needs 20 times as long
    low, high = np.array(ranges).T  # (channels,) each
    flat = high <= low
    scale = np.where(flat, 1.0, 255.0 / np.where(flat, 1.0, high - low))
    table = _LEVELS[:, None] * scale - np.where(flat, 0.0, low * scale)
    return _look_up(image, table)


def _equalize(image: np.ndarray, _: float) -> np.ndarray:
    """Spread the levels of each channel evenly, as Pillow's ``equalize`` does."""
    table = np.repeat(_LEVELS[:, None], image.shape[2], axis=1)
    for channel in range(image.shape[2]):
        counts = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        # The highest level that occurs does not count.
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        if step:
            table[:, channel] = (step // 2 + np.cumsum(counts) - counts) // step
    return _look_up(image, table)


def _brighten(image: np.ndarray, share: float) -> np.ndarray:
    return cv2.LUT(image, (_LEVELS.astype(np.float32) * _factor(share)).clip(0, 255).astype(np.uint8))


def _sharpen(image: np.ndarray, share: float) -> np.ndarray:
    """Move pixels away from a smoothed picture, as Pillow's ``Sharpness`` does; the border stays."""
    kernel = np.ones((3, 3), dtype=np.float32)
    kernel[1, 1] = 5
    smooth = cv2.filter2D(image, -1, kernel / 13)[1:-1, 1:-1].astype(np.float32)
    out = image.copy()
    inner = smooth + _factor(share) * (image[1:-1, 1:-1] - smooth)
    out[1:-1, 1:-1] = inner.clip(0, 255).astype(np.uint8)
    return out


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replace levels by those of a table (256, channels), cut to 8 bits."""
    return cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None])


def _factor(share: float) -> float:
    return share * 1.8 + 0.1


def _shear_x(share: float, size: tuple[int, int]) -> np.ndarray:
    return np.array([[1, _signed(0.3 * share), 0], [0, 1, 0]])


def _shear_y(share: float, size: tuple[int, int]) -> np.ndarray:
    return np.array([[1, 0, 0], [_signed(0.3 * share), 1, 0]])


def _translate_x(share: float, size: tuple[int, int]) -> np.ndarray:
    return np.array([[1, 0, -_signed(10 * share)], [0, 1, 0]])


def _translate_y(share: float, size: tuple[int, int]) -> np.ndarray:
    return np.array([[1, 0, 0], [0, 1, -_signed(10 * share)]])


def _rotate(share: float, size: tuple[int, int]) -> np.ndarray:
    degrees = 30 * share if np.random.random() >= 0.5 else -30 * share
    return cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), degrees, 1)


def _signed(value: float) -> float:
    return -value if np.random.random() > 0.5 else value


_COLOUR: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "Identity": _identity,
    "AutoContrast": _stretch,
    "Equalize": _equalize,
    "Brightness": _brighten,
    "Sharpness": _sharpen,
}
# Matrices (2, 3) from pixel numbers to pixel numbers, of a share of the largest strength and the image's (H, W).
_PLACE: Mapping[str, Callable[[float, tuple[int, int]], np.ndarray]] = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Rotate": _rotate,
}
_COLOUR_AND_PLACE = [*_COLOUR, *_PLACE]


def _check(num_ops: int, magnitude: float, prob: float, names: Sequence[str]) -> None:
    location = "RandAugmentWithBoxes"
    if isinstance(num_ops, bool) or not isinstance(num_ops, int) or num_ops < 1:
        raise ConfigError(f"{location}.num_ops: must be a whole number above 0, got {num_ops}.")
    if not 0.0 <= magnitude <= _LARGEST_MAGNITUDE:
        raise ConfigError(f"{location}.magnitude: must be from 0 to {_LARGEST_MAGNITUDE:g}, got {magnitude}.")
    check_share(f"{location}.prob", prob)
    if not names:
        raise ConfigError(f"{location}.operations: must name at least one operation. Leave it out for all.")
    for name in names:
        if name not in _COLOUR_AND_PLACE:
            hint = did_you_mean(name, _COLOUR_AND_PLACE)
            known = ", ".join(_COLOUR_AND_PLACE)
            raise ConfigError(f"{location}.operations: there is no operation {name!r}.{hint} Known: {known}.")
