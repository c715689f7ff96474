"""Encoded images."""

import io
import struct
import zlib
from functools import cache

from PIL import Image

from bus_toolkit.data.transforms.decode import decode_image
from tests.fuzz.mutation import damage_bytes
from tests.fuzz.target import Target

_SIZES = (0, 1, 255, 9400, 20_000, 65_535, 2**31 - 1)


@cache
def _seeds():
    """Return small pictures of every format and mode that is decoded."""
    picture = Image.linear_gradient("L").resize((24, 16))
    kinds = [("PNG", m) for m in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")] + [
        ("JPEG", m) for m in ("L", "RGB", "CMYK")
    ]
    kinds += [("WEBP", m) for m in ("RGB", "RGBA")] + [("GIF", "P"), ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "CMYK")]
    seeds = []
    for name, mode in kinds:
        file, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        more = {"exif": exif} if name in ("JPEG", "WEBP") else {"compression": "tiff_lzw"} if name == "TIFF" else {}
        picture.convert(mode).save(file, name, **more)
        seeds.append(file.getvalue())
    frames = io.BytesIO()
    picture.save(frames, "GIF", save_all=True, append_images=[picture.rotate(90)])
    return [*seeds, frames.getvalue()]


def _image(rng):
    data = rng.choice(_seeds())
    if data.startswith(b"\x89PNG") and rng.random() < 0.3:
        return _resized_png(rng, data)
    return damage_bytes(rng, data)


def _resized_png(rng, data):
    """Return a PNG whose header claims another size, with a right checksum."""
    header = b"IHDR" + struct.pack(">II", rng.choice(_SIZES), rng.choice(_SIZES)) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


TARGETS = (Target("images", _image, lambda data, folder: decode_image(data), (OSError,), _seeds),)
