"""Planning many needle scenes, in chunks over processes."""

from __future__ import annotations

from functools import partial

from bus_toolkit.data.needles.captions import NeedleCaption, choose_captions, choose_unique_captions
from bus_toolkit.data.needles.scene import NeedleScene, sample_scene
from bus_toolkit.data.needles.settings import NeedleSettings
from bus_toolkit.data.scenes.chunks import in_chunks
from bus_toolkit.data.scenes.streams import stream

PlannedNeedles = tuple[int, NeedleScene, list[NeedleCaption]]


def plan_scenes(settings: NeedleSettings, split: str, count: int, workers: int = 1) -> list[PlannedNeedles]:
    """Return number, scene and captions of a split; outside ``train`` one caption each, true of no other scene there.

    Raises:
        DataError: So many scenes cannot all have a caption of their own.
    """
    numbered = in_chunks(partial(_sample_chunk, settings=settings, split=split), list(range(count)), workers)
    if split == "train":
        return [
            (n, scene, choose_captions(scene, settings, stream(settings, split, n, "text"))) for n, scene in numbered
        ]
    unique = choose_unique_captions(numbered, settings, split)
    return [(number, scene, [caption]) for (number, scene), caption in zip(numbered, unique, strict=True)]


def _sample_chunk(numbers: list[int], settings: NeedleSettings, split: str) -> list[tuple[int, NeedleScene]]:
    return [(number, sample_scene(settings, stream(settings, split, number, "scene"))) for number in numbers]
