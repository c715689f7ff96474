"""Pictures on their way in and out. What goes out is drawn from pixels: no byte of an upload is sent back."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
from PIL import Image

from bus_toolkit.data.transforms.decode import PIXELS_LIMIT, decode_image
from bus_toolkit.errors import DataError
from bus_toolkit.inference.pictures import png_of
from bus_toolkit.limits import UPLOAD_PIXELS


def decoded(read: Callable[[], bytes], name: str) -> np.ndarray:
    """Return a picture as uint8 (H, W, 3), red green blue, upright.

    Args:
        read: Returns the bytes of its file.
        name: For the message.

    Raises:
        DataError: It cannot be read or decoded, or has too many pixels, which its header says: a small file that
            unfolds into gigabytes is not unfolded.
    """
    most = min(UPLOAD_PIXELS.value, PIXELS_LIMIT)
    try:
        return np.ascontiguousarray(decode_image(read(), max_pixels=most)[:, :, ::-1])
    except OSError as error:
        raise DataError(
            f"{name}: {error}. Give a JPEG, PNG, WebP, GIF, BMP or TIFF of at most {most:,} pixels."
        ) from error


def png_of_side(pixels: np.ndarray, side: int) -> bytes:
    """Return pixels uint8 RGB (H, W, 3) as a PNG whose longer side is at most ``side`` pixels."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    return png_of(np.asarray(picture))


def in_size(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Return pixels uint8 RGB (H, W, 3) in a width and height, by Pillow's bicubic; ``None`` leaves them."""
    if size is None or pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def as_address(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
