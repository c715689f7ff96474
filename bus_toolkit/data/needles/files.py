"""Needle scenes as public annotation files: COCO, VQA v2 and RefCOCO."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from bus_toolkit.data.needles.plan import PlannedNeedles
from bus_toolkit.data.needles.scene import NeedleScene
from bus_toolkit.data.needles.settings import ANSWERS, COLOURS, SHAPES, NeedleSettings
from bus_toolkit.data.needles.texts import needle_expressions, needle_questions
from bus_toolkit.data.scenes.coco_files import coco_files, image_entry
from bus_toolkit.data.scenes.expressions import reference_files
from bus_toolkit.data.scenes.question_files import vqa_files
from bus_toolkit.data.scenes.streams import image_id, stream
from bus_toolkit.data.scenes.task_files import write_json_files

ANSWERS_FILE = "answers.txt"

# COCO's classes are the names: colour by colour, shape by shape.
_CATEGORIES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
# The answer is the truth and no opinion of ten people. VQA's public evaluation leaves out one answer and asks for three
# more that agree: with four, a right answer is fully right there too, at less than half the size of the file.
_NUM_ANSWERS = 4


def write_needles(folder: Path, split: str, planned: Sequence[PlannedNeedles], settings: NeedleSettings) -> list[str]:
    """Write the files of a split and ``answers.txt``, all answers in the order of the classes; return their names."""
    files = _annotations(split, planned, settings)
    objects = [(image_id(split, number), len(scene)) for number, scene, _ in planned]
    asked = [needle_questions(scene, settings, stream(settings, split, n, "questions")) for n, scene, _ in planned]
    files |= vqa_files(split, ((*known, texts) for known, texts in zip(objects, asked, strict=True)), _NUM_ANSWERS)
    meant = [needle_expressions(scene, settings, stream(settings, split, n, "expressions")) for n, scene, _ in planned]
    files |= reference_files(split, ((*known, texts) for known, texts in zip(objects, meant, strict=True)))
    (folder / ANSWERS_FILE).write_text("".join(f"{answer}\n" for answer in ANSWERS), encoding="utf-8")
    return [*write_json_files(folder, files), ANSWERS_FILE]


def _annotations(split: str, planned: Sequence[PlannedNeedles], settings: NeedleSettings) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    regions: dict[str, list[int]] = {}
    instances: list[dict[str, Any]] = []
    for number, scene, texts in planned:
        images.append(image_entry(split, number, scene.image_size, settings))
        first = len(instances) + 1
        for text in texts:
            captions.append({"id": len(captions) + 1, "image_id": images[-1]["id"], "caption": text.text})
            regions[str(len(captions))] = [first + place for place in text.named]
        instances += _instances(scene, images[-1]["id"], first)
    files = coco_files(split, images, captions, regions, instances, categories=_CATEGORIES)
    return files | {"words.json": settings.words()}


def _instances(scene: NeedleScene, image: int, first: int) -> list[dict[str, Any]]:
    """Return COCO's instances of a scene, in the order of its objects: those that texts may name come first."""
    categories = (scene.colour * len(SHAPES) + scene.shape + 1).tolist()
    return [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, category, box in zip(count(first), categories, scene.boxes().tolist(), strict=False)
    ]
