"""Clip-art pictures on white, small."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from PIL import Image

from bus_toolkit.data.transforms.decode import decode_image

MOST_PIXELS = 16_000_000
"""Of a picture that is decoded: 18 of 6,900 have more, up to 20,990 x 29,700, and cost most of the time."""

# Some pages are empty, or have a speck, where a part was not drawn. A thin outline has more than one pixel in 200.
_INK = 200
_LEVELS = 16


def shrink_on_white(content: bytes, longest_side: int) -> np.ndarray:
    """Decode a picture, white where it is transparent, and shrink it; it is never enlarged.

    Args:
        content: An encoded image.
        longest_side: Pixels that the longer side has at most.

    Returns:
        uint8 (H, W, 3), blue green red.

    Raises:
        OSError: It cannot be decoded, has more than ``MOST_PIXELS``, or shows nothing: less than one in ``_INK`` of
            the small picture's pixels is unlike the first one.
    """
    with warnings.catch_warnings():
        # The warning would repeat what the error says.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = decode_image(content, max_pixels=MOST_PIXELS)
    height, width = image.shape[:2]
    if max(height, width) > longest_side:
        scale = longest_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    unlike = (cv2.absdiff(image, np.full_like(image, image[0, 0])).max(axis=2) > _LEVELS).sum()
    if unlike * _INK < image.shape[0] * image.shape[1]:
        raise OSError("the image shows nothing")
    return np.ascontiguousarray(image)
