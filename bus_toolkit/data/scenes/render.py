"""Drawing many scenes to files, in chunks over processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2

from bus_toolkit.data.scenes.captions import SceneCaption, choose_captions, choose_unique_captions, scene_captions
from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.scene import Scene, sample_scene
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import image_id, stream
from bus_toolkit.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
PlannedScene = tuple[int, Scene, list[SceneCaption]]

_CHUNK = 500
_ENCODING = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
}


def scene_at(settings: SceneSettings, split: str, number: int) -> Scene:
    """Return the scene of a number: the same whatever else is drawn, and one that a caption can describe."""
    rng = stream(settings, split, number, "scene")
    while True:
        scene = sample_scene(settings, rng)
        if scene_captions(scene):
            return scene


def plan_scenes(settings: SceneSettings, split: str, count: int, workers: int = 1) -> list[PlannedScene]:
    """Return number, scene and captions of a split; outside ``train`` one caption each, true of no other scene there.

    Raises:
        DataError: So many scenes cannot all have a caption of their own.
    """
    # Some to spare: the few scenes whose captions all fit another one as well are left out.
    total = count if split == "train" else count + count // 4 + 8
    planned = _in_chunks(partial(_plan_chunk, settings=settings, split=split), list(range(total)), workers)
    if split == "train":
        return planned
    unique = choose_unique_captions([scene for _, scene, _ in planned])
    chosen = [(i, s, [c]) for (i, s, _), c in zip(planned, unique, strict=True) if c is not None][:count]
    if len(chosen) < count:
        raise DataError(
            f"scenes: only {len(chosen)} of {count} {split} scenes can have a caption that fits no other one. "
            "Ask for fewer images, or for more shapes, colours or sizes."
        )
    return chosen


def draw_to_files(
    planned: list[PlannedScene], settings: SceneSettings, split: str, folder: Path, workers: int
) -> dict[str, str]:
    """Write the pictures into ``folder`` and return file name to sha256.

    Args:
        planned: Number, scene and captions of each picture.
        settings: How to draw.
        split: Name of the split; part of the random stream.
        folder: An existing folder.
        workers: Processes; one process, or few pictures, draws in this one.
    """
    return dict(_in_chunks(partial(_draw_chunk, settings=settings, split=split, folder=folder), planned, workers))


def usable_cpus() -> int:
    """Return the number of processors this process may run on."""
    return len(os.sched_getaffinity(0))


def _in_chunks(function: Callable[[list[Item]], list[Result]], items: list[Item], workers: int) -> list[Result]:
    """Return the joined results of ``function`` on consecutive chunks, computed by ``workers`` processes."""
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    if workers <= 1 or len(chunks) == 1:
        return [result for chunk in chunks for result in function(chunk)]
    # fork: the children only use numpy and OpenCV, and a script without a __main__ guard must not start twice.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        return [result for part in pool.map(function, chunks) for result in part]


def _plan_chunk(numbers: list[int], settings: SceneSettings, split: str) -> list[PlannedScene]:
    planned = []
    for number in numbers:
        scene = scene_at(settings, split, number)
        captions = choose_captions(scene, settings.captions_per_image, stream(settings, split, number, "text"))
        planned.append((number, scene, captions))
    return planned


def _draw_chunk(
    planned: list[PlannedScene], settings: SceneSettings, split: str, folder: Path
) -> list[tuple[str, str]]:
    checksums = []
    for number, scene, _ in planned:
        picture = draw_scene(scene, settings, stream(settings, split, number, "picture"))
        _, encoded = cv2.imencode(f".{settings.image_format}", picture, _ENCODING[settings.image_format])
        name = f"{image_id(split, number):012d}.{settings.image_format}"
        content = encoded.tobytes()
        (folder / name).write_bytes(content)
        checksums.append((name, hashlib.sha256(content).hexdigest()))
    return checksums
