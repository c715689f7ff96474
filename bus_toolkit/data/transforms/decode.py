"""Encoded bytes to pixels, one way for files and shards: a damaged, too large or ambiguous file is an error.

OpenCV decodes what it decodes well, so that plain pictures have the pixels that mmcv's loader gives them. Pillow reads
each header first, and decodes the rest.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""The pixels from which on Pillow warns of a decompression bomb: a quarter of a GiB of 3-byte pixels."""
PIXELS_LIMIT = 2 * MAX_PIXELS
"""Pillow opens nothing larger, whatever ``max_pixels`` says."""
# Only these are looked for: Pillow would start another program for EPS.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_PLAIN_MODES = {
    "JPEG": {"L", "RGB"},
    "MPO": {"L", "RGB"},
    "PNG": {"1", "L", "P", "RGB", "I;16"},
    "WEBP": {"RGB"},
}
_OTHER_MODES = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_DEEP_MODES = {"I;16", "I;16L", "I;16B"}
_END_OF_JPEG = b"\xff\xd9"
_ORIENTATION = 0x0112  # the tag of EXIF that says how a picture is turned
# Pixels that are converted at a time: each step makes a copy, and of a whole picture they would be five.
_STRIP = 1 << 20


class ImageRefused(OSError):
    """A picture that could not be used, or must not be opened, by the rules here; the message says all of it."""


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the picture as uint8 (H, W, 3), blue green red, upright.

    - Its size is read from the header and checked before anything is allocated.
    - A rotation in its EXIF is applied, once: height and width are those of the picture as it is shown.
    - Transparent pixels show white, whatever colour is stored beneath them.
    - 16-bit PNGs are scaled to 8 bits (the upper byte), CMYK is converted without colour profile, grey is repeated.
    - Of an animation it is the first frame.
    - A file that ends early is an error, also where the decoder would fill the missing part with grey.

    A JPEG that is damaged inside and yet ends properly looks like a good one here: the decoder says so on the
    standard error alone, which ``bus-toolkit verify`` reads.

    Args:
        data: The encoded file; JPEG, PNG, WebP, GIF, BMP or TIFF.
        max_pixels: Most pixels that the header may claim, up to 178,956,970.

    Raises:
        OSError: No picture can be made of it; the message says why.
    """
    if not data:
        raise OSError("the image has 0 bytes")
    stream = io.BytesIO(data)
    try:
        with Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageRefused(_too_large(f"{width} x {height} pixels", max_pixels))
            if image.format in ("JPEG", "MPO") and data.rfind(_END_OF_JPEG, stream.tell()) < 0:
                raise ImageRefused(f"the image cannot be decoded: the JPEG is cut off ({len(data)} bytes, no end mark)")
            if image.mode in _DEEP_MODES and image.format != "PNG":
                raise ImageRefused(
                    f"the image cannot be decoded: deep {image.format} pixels may use fewer than 16 bits. "
                    "Convert it to 8 bits a channel"
                )
            return _by_opencv(data) if _is_plain(image) else decode_pillow(image)
    except Image.DecompressionBombError as error:
        raise OSError(_too_large(f"more than {PIXELS_LIMIT} pixels", max_pixels)) from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise OSError(f"the image cannot be decoded: no header of {known} ({len(data)} bytes)") from error
    except ImageRefused:
        raise
    except OSError as error:
        raise OSError(f"the image cannot be decoded: {error}") from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise OSError(f"the image cannot be decoded: {type(error).__name__}: {error}") from error


def _too_large(claimed: str, max_pixels: int) -> str:
    return f"the image is refused before decoding: its header claims {claimed}, max_pixels is {max_pixels}"


def _is_plain(image: Any) -> bool:
    """Return whether OpenCV's pixels are right; it applies the EXIF of each JPEG, of other formats not in all versions.

    It drops transparency, and knows animations only since its version 4.11.
    """
    special = "transparency" in image.info or (image.format not in ("JPEG", "MPO") and "exif" in image.info)
    animated = image.format != "MPO" and getattr(image, "is_animated", False)
    return image.mode in _PLAIN_MODES.get(str(image.format), ()) and not special and not animated


def _by_opencv(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ImageRefused(f"the image cannot be decoded ({len(data)} bytes)")
    return pixels


def decode_pillow(image: Image.Image) -> np.ndarray:
    """Return a picture of Pillow as uint8 (H, W, 3), blue green red, by the rules of ``decode_image``.

    Raises:
        OSError: It cannot be loaded, or its pixels have no known scale of 8 bits (32-bit integers, floats).
    """
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP_MODES:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if {"A", "a"} & set(image.getbands()) or "transparency" in image.info:
        to_rgb = _on_white
    elif image.mode not in _OTHER_MODES:
        raise ImageRefused(
            f"the image cannot be decoded: pixels of kind {image.mode!r} have no known scale of 8 bits. "
            "Convert it to 8 bits a channel"
        )
    else:
        to_rgb = _as_rgb
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(to_rgb(strip))[:, :, ::-1]
    return pixels


def _as_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
