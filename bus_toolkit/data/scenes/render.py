"""Drawing many scenes to files, in chunks over processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bus_toolkit.data.scenes.captions import SceneCaption, choose_captions, choose_unique_captions, scene_captions
from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.scene import Scene, sample_scene
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.errors import DataError

SPLITS = ("train", "val", "test")
_CHUNK = 500
_ENCODING = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
}
# Image ids of the splits never meet, whatever their sizes; they fit the 12 digits of COCO's file names.
_ID_STEP = 100_000_000_000


def image_id(split: str, number: int) -> int:
    """Return the id of picture ``number`` (from 0) of a split."""
    return SPLITS.index(split) * _ID_STEP + number + 1


def scene_at(settings: SceneSettings, split: str, number: int) -> Scene:
    """Return the scene of a number: the same whatever else is drawn, and one that a caption can describe."""
    rng = _stream(settings, split, number, "scene")
    while True:
        scene = sample_scene(settings, rng)
        if scene_captions(scene):
            return scene


def plan_scenes(settings: SceneSettings, split: str, count: int) -> list[tuple[int, Scene, list[SceneCaption]]]:
    """Return number, scene and captions of a split; outside ``train`` one caption each, true of no other scene of the split.

    Raises:
        DataError: So many scenes cannot all have a caption of their own.
    """
    if split == "train":
        scenes = [scene_at(settings, split, i) for i in range(count)]
        limit = settings.captions_per_image
        return [(i, s, choose_captions(s, limit, _stream(settings, split, i, "text"))) for i, s in enumerate(scenes)]
    scenes = [scene_at(settings, split, i) for i in range(count + count // 4 + 8)]
    unique = choose_unique_captions(scenes)
    found = [(i, s, [c]) for i, (s, c) in enumerate(zip(scenes, unique, strict=True)) if c is not None][:count]
    if len(found) < count:
        raise DataError(
            f"scenes: only {len(found)} of {count} {split} scenes can have a caption that fits no other one. "
            "Ask for fewer images, or for more shapes, colours or sizes."
        )
    return found


def draw_to_files(
    numbered: list[tuple[int, Scene]], settings: SceneSettings, split: str, folder: Path, workers: int
) -> dict[str, str]:
    """Write the pictures into ``folder`` and return file name to sha256.

    Args:
        numbered: Number and scene of each picture.
        settings: How to draw.
        split: Name of the split; part of the random stream.
        folder: An existing folder.
        workers: Processes; one process, or few pictures, draws in this one.
    """
    chunks = [numbered[i : i + _CHUNK] for i in range(0, len(numbered), _CHUNK)]
    draw = partial(_draw_chunk, settings=settings, split=split, folder=folder)
    checksums: dict[str, str] = {}
    if workers <= 1 or len(chunks) == 1:
        for chunk in chunks:
            checksums.update(draw(chunk))
        return checksums
    # fork: the children only use numpy and OpenCV, and a script without a __main__ guard must not start twice.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        for part in pool.map(draw, chunks):
            checksums.update(part)
    return checksums


def usable_cpus() -> int:
    """Return the number of processors this process may run on."""
    return len(os.sched_getaffinity(0))


def _draw_chunk(
    numbered: list[tuple[int, Scene]], settings: SceneSettings, split: str, folder: Path
) -> dict[str, str]:
    checksums = {}
    for number, scene in numbered:
        picture = draw_scene(scene, settings, _stream(settings, split, number, "picture"))
        _, encoded = cv2.imencode(f".{settings.image_format}", picture, _ENCODING[settings.image_format])
        name = f"{image_id(split, number):012d}.{settings.image_format}"
        (folder / name).write_bytes(encoded.tobytes())
        checksums[name] = hashlib.sha256(encoded).hexdigest()
    return checksums


def _stream(settings: SceneSettings, split: str, number: int, purpose: str) -> np.random.Generator:
    """Return a random stream of its own for each picture and purpose."""
    purposes = ("scene", "text", "picture")
    return np.random.default_rng([settings.seed, SPLITS.index(split), number, purposes.index(purpose)])
