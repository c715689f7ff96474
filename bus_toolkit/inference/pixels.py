"""Images that are in memory already, to the pixels that ``decode_image`` gives."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch

from bus_toolkit.data.transforms.decode import decode_image

# The first go to RGB by Pillow; transparency, 16 bits and palettes are left to the decoder of files.
_COLOURS = frozenset({"RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
_AS_PNG = frozenset({"1", "L", "LA", "P", "RGBA", "I;16"})


def from_array(source: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return an image as uint8 (H, W, 3), blue green red.

    Args:
        source: uint8, NumPy (H, W[, C]) or torch ([C, ]H, W); C is 1 (grey), 3 (RGB) or 4 (RGBA, laid on white).
    """
    if isinstance(source, torch.Tensor):
        array = source.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    else:
        array = source
    array = array[..., None] if array.ndim == 2 else array
    if array.shape[2] == 4:
        from PIL import Image

        return from_pillow(Image.fromarray(np.ascontiguousarray(array)), array.size)
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., ::-1])


def from_pillow(image: Any, max_pixels: int) -> np.ndarray:
    """Return a PIL image as uint8 (H, W, 3), blue green red, upright.

    Args:
        image: Of any mode with a scale of 8 or 16 bits.
        max_pixels: Most pixels that it may have; an image that was only opened is not decoded before that is checked.

    Raises:
        OSError: It is too large, of another mode, or its file cannot be decoded.
    """
    from PIL import ImageOps

    width, height = image.size
    if width * height > max_pixels:
        raise OSError(f"the image is refused: it has {width} x {height} pixels, max_pixels is {max_pixels}")
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("PA", "La", "RGBa"):
            image = image.convert("RGBA")
        if image.mode in _COLOURS and "transparency" not in image.info:
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        if image.mode not in _COLOURS | _AS_PNG:
            raise OSError(f"pixels of kind {image.mode!r} have no scale of 8 bits: convert it, e.g. to RGB")
        stream = io.BytesIO()
        image.save(stream, "PNG", compress_level=1)
    except (ValueError, SyntaxError) as error:
        raise OSError(f"the image cannot be decoded: {error}") from error
    return decode_image(stream.getvalue(), max_pixels=max_pixels)
