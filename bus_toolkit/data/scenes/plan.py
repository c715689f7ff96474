"""Planning many scenes, in chunks over processes."""

from __future__ import annotations

from functools import partial

from bus_toolkit.data.scenes.captions import SceneCaption, choose_captions, choose_unique_captions, scene_captions
from bus_toolkit.data.scenes.chunks import in_chunks
from bus_toolkit.data.scenes.scene import Scene, sample_scene
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import stream
from bus_toolkit.errors import DataError

PlannedScene = tuple[int, Scene, list[SceneCaption]]


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
    planned = in_chunks(partial(_plan_chunk, settings=settings, split=split), list(range(total)), workers)
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


def _plan_chunk(numbers: list[int], settings: SceneSettings, split: str) -> list[PlannedScene]:
    planned = []
    for number in numbers:
        scene = scene_at(settings, split, number)
        captions = choose_captions(scene, settings.captions_per_image, stream(settings, split, number, "text"))
        planned.append((number, scene, captions))
    return planned
