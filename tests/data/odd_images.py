"""Encoded pictures of the kinds that web data holds, small enough to make in a test."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

RED, WHITE = [0, 0, 255], [255, 255, 255]
ORIENTATION = 0x0112


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """Return the file that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """Return a smooth RGB picture without any symmetry."""
    coarse = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, (width, height)))


def rotated_jpeg(orientation: int, thumbnail: bytes = b"", **size: int) -> bytes:
    """Return a JPEG whose EXIF has an orientation from 1 to 8, and bytes that look like an embedded thumbnail."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if thumbnail:
        exif[0x9286] = thumbnail
    return encode(photo(**size), "JPEG", exif=exif)


def huge_png(side: int = 30_000) -> bytes:
    """Return under 200 bytes whose header claims a square of ``side`` pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    """Return a GIF, PNG or WebP of two 8 x 8 frames, red then green."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])
