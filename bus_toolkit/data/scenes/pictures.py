"""Pictures of generated scenes as files."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from bus_toolkit.data.scenes.chunks import in_chunks
from bus_toolkit.data.scenes.family import Draw
from bus_toolkit.data.scenes.generator_settings import GeneratorSettings
from bus_toolkit.data.scenes.streams import image_id, stream

_ENCODING = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
}


def picture_name(split: str, number: int, settings: GeneratorSettings) -> str:
    """Return the file name of picture ``number`` (from 0): its id and nothing else."""
    return f"{image_id(split, number):012d}.{settings.image_format}"


def draw_to_files(
    planned: list[Any], draw: Draw, settings: GeneratorSettings, *, split: str, folder: Path, workers: int
) -> dict[str, str]:
    """Write the pictures into ``folder`` and return file name to sha256.

    Args:
        planned: For each picture a tuple that starts with its number and its scene.
        draw: Makes the picture of a scene.
        settings: How to draw.
        split: Name of the split; part of the random stream.
        folder: An existing folder.
        workers: Processes; one process, or few pictures, draws in this one.
    """
    to_draw = [(number, scene) for number, scene, *_ in planned]
    chunk = partial(_draw_chunk, draw=draw, settings=settings, split=split, folder=folder)
    return dict(in_chunks(chunk, to_draw, workers))


def _draw_chunk(
    numbered: list[tuple[int, Any]], draw: Draw, settings: GeneratorSettings, split: str, folder: Path
) -> list[tuple[str, str]]:
    checksums = []
    for number, scene in numbered:
        picture = draw(scene, settings, stream(settings, split, number, "picture"))
        _, encoded = cv2.imencode(f".{settings.image_format}", picture, _ENCODING[settings.image_format])
        name, content = picture_name(split, number, settings), encoded.tobytes()
        (folder / name).write_bytes(content)
        checksums.append((name, hashlib.sha256(content).hexdigest()))
    return checksums
