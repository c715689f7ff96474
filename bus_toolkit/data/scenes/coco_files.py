"""Scenes as public annotation files: COCO captions and instances, Visual Genome's region descriptions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.scenes.captions import scene_descriptions
from bus_toolkit.data.scenes.generator_settings import GeneratorSettings
from bus_toolkit.data.scenes.pictures import picture_name
from bus_toolkit.data.scenes.plan import PlannedScene
from bus_toolkit.data.scenes.scene import Scene
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import image_id

_INFO = {"description": "bus_toolkit procedural scenes (synthetic)", "version": "1"}


def write_annotations(
    folder: Path,
    split: str,
    planned: Sequence[PlannedScene],
    settings: SceneSettings,
) -> list[str]:
    """Write captions, instances, regions and descriptions of the split and ``words.json``; return their names.

    ``descriptions_<split>.json`` has the form of Visual Genome's ``region_descriptions.json``, one entry for each
    object that a description fits.
    """
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    regions: dict[str, list[int]] = {}
    descriptions: list[dict[str, Any]] = []
    for number, scene, texts in planned:
        images.append(image_entry(split, number, scene.image_size, settings))
        identity = images[-1]["id"]
        first = len(instances) + 1
        instances += _instances(scene, identity, first, settings)
        descriptions.append({"id": identity, "regions": _descriptions(scene, identity, instances[first - 1 :])})
        for text in texts:
            captions.append({"id": len(captions) + 1, "image_id": identity, "caption": text.text})
            regions[str(len(captions))] = [first + text.first, first + text.second]
    files = coco_files(split, images, captions, regions, instances, categories=settings.shapes)
    files |= {f"descriptions_{split}.json": descriptions, "words.json": settings.words()}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return list(files)


def coco_files(
    split: str,
    images: Sequence[dict[str, Any]],
    captions: Sequence[dict[str, Any]],
    regions: dict[str, list[int]],
    instances: Sequence[dict[str, Any]],
    *,
    categories: Sequence[str],
) -> dict[str, Any]:
    """Return COCO captions and instances, and ``regions_<split>.json``: caption id to ids of the instances it names."""
    named = [{"id": i + 1, "name": name} for i, name in enumerate(categories)]
    return {
        f"captions_{split}.json": {"info": _INFO, "images": images, "annotations": captions},
        f"instances_{split}.json": {"info": _INFO, "images": images, "annotations": instances, "categories": named},
        f"regions_{split}.json": regions,
    }


def image_entry(split: str, number: int, side: int, settings: GeneratorSettings) -> dict[str, Any]:
    """Return COCO's entry of a square picture; ``coco_url`` is the part that mmpretrain's ``COCORetrieval`` reads."""
    name = picture_name(split, number, settings)
    return {
        "id": image_id(split, number),
        "file_name": name,
        "coco_url": f"images/{name}",
        "width": side,
        "height": side,
    }


def _instances(scene: Scene, identity: int, first: int, settings: SceneSettings) -> list[dict[str, Any]]:
    instances = []
    for place, item in enumerate(scene.objects):
        x1, y1, x2, y2 = item.box(scene.image_size)
        box = [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)]
        instances.append(
            {
                "id": first + place,
                "image_id": identity,
                "category_id": settings.shapes.index(item.shape) + 1,
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "attributes": {"size": item.size, "colour": item.colour, "shape": item.shape},
            }
        )
    return instances


def _descriptions(scene: Scene, identity: int, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    descriptions = []
    for text, places in scene_descriptions(scene).items():
        for place in places:
            x, y, width, height = instances[place]["bbox"]
            box = {"x": x, "y": y, "width": width, "height": height}
            descriptions.append({"image_id": identity, "phrase": text, **box})
    return descriptions
