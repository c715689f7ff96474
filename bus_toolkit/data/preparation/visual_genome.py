"""Visual Genome (Krishna et al., arXiv 1602.07332): region descriptions become captions with boxes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.joins import check_join, one_form
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.karpathy import ORIGIN
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted
from bus_toolkit.json_text import dump_json

PAGE = "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html"
_REGIONS, _QUESTIONS, _IMAGES = "region_descriptions.json", "question_answers.json", "image_data.json"
_FOLDERS = ("VG_100K", "VG_100K_2")
_KARPATHY = "dataset_coco.json"
_COUNTS = (
    # Version 1.2, as its page and papers state them.
    Count("images in all", 108_077, sure=False),
    Count("regions in all", 5_408_689, sure=False),
    Count("questions", 1_445_322, sure=False),
)
_FILES = (
    Wanted(_IMAGES, f"image_data.json.zip of {PAGE}"),
    Wanted(_REGIONS, f"region_descriptions.json.zip of {PAGE}"),
    Wanted(_QUESTIONS, f"question_answers.json.zip of {PAGE}", optional=True),
    Wanted(_KARPATHY, f"to leave out images of COCO's validation and test: {ORIGIN}", optional=True),
    *(Wanted(f"{folder}/", f"images.zip and images2.zip of {PAGE}") for folder in _FOLDERS),
)
_LINKS = {name: name for name in (*_FOLDERS, _REGIONS, _QUESTIONS)}
_USAGE = (
    "train_dataloader.dataset.dataset.data_root={out}  dataset.dataset.ann_file=captions_train.json",
    "instances_file: {out}/instances_train.json  regions_file: {out}/regions_train.json",
    "questions: {{type: QuestionAnswers, question_file: {out}/question_answers.json,",
    "            image_template: '{out}/images/{{image_id}}.jpg'}}",
    "as one of several sources: registry_configs/_base_/data_4m_256.yaml",
)

VISUAL_GENOME = Recipe(
    "visual_genome", "Visual Genome", PAGE, lambda _: Conversion(_FILES, _COUNTS, _convert, _USAGE, _LINKS)
)


def _convert(source: Download, out: Path) -> Mapping[str, int]:
    """Write captions, instances and regions: a description is a caption of its image, each region it fits an instance.

    Half of the images are COCO's. Where Karpathy's file is there, those of his validation and test are left out.
    """
    images = _read_images(source)
    held_out = _held_out(source)
    of_coco = {key: one_form(image.pop("coco_id")) for key, image in images.items()}
    check_join(held_out, set(of_coco.values()), location=_KARPATHY, kind="COCO's test", source="the coco_id", least=0.0)
    used = {key: image for key, image in images.items() if of_coco[key] not in held_out}
    check_images(source, "", (image["coco_url"] for image in used.values()))
    counts = {"images in all": len(images), "images left out for COCO's test": len(images) - len(used)}
    counts |= _write_regions(source, out, used)
    _link_images(source, out, used)
    if source.has(_QUESTIONS):
        content = source.json(_QUESTIONS)
        try:
            counts["questions"] = sum(len(image["qas"]) for image in content)
        except (KeyError, TypeError) as error:
            raise source.malformed(_QUESTIONS, error) from error
    return counts


def _read_images(source: Download) -> dict[int, dict[str, Any]]:
    images = {}
    try:
        for entry in source.json(_IMAGES):
            place = "/".join(entry["url"].rsplit("/", 2)[-2:])
            key = entry["image_id"]
            size = {"width": entry["width"], "height": entry["height"]}
            images[key] = {"id": key, "file_name": place, "coco_url": place, **size, "coco_id": entry.get("coco_id")}
    except (KeyError, TypeError, AttributeError) as error:
        raise source.malformed(_IMAGES, error) from error
    return images


def _held_out(source: Download) -> set[int]:
    if not source.has(_KARPATHY):
        return set()
    try:
        return {one_form(e["cocoid"]) for e in source.json(_KARPATHY)["images"] if e["split"] in ("val", "test")}
    except (KeyError, TypeError) as error:
        raise source.malformed(_KARPATHY, error) from error


def _link_images(source: Download, out: Path, images: Mapping[int, Mapping[str, Any]]) -> None:
    """Write links ``images/<id>.jpg``: questions know an image by its id alone, and it may lie in either folder."""
    if source.skip_images:
        return
    (out / "images").mkdir()
    for key, image in images.items():
        (out / "images" / f"{key}.jpg").symlink_to(source.path(image["coco_url"]).resolve())


def _write_regions(source: Download, out: Path, images: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
    names = ("captions_train.json", "instances_train.json", "regions_train.json")
    content = source.json(_REGIONS)
    with (
        (out / names[0]).open("w", encoding="utf-8") as captions,
        (out / names[1]).open("w", encoding="utf-8") as instances,
        (out / names[2]).open("w", encoding="utf-8") as regions,
    ):
        head = dump_json({"images": list(images.values())})[:-1]
        category = ', "categories": [{"id": 1, "name": "region"}]'
        writers = (
            _Entries(captions, f'{head}, "annotations": ['),
            _Entries(instances, f'{head}{category}, "annotations": ['),
        )
        pairs = _Entries(regions, "{")
        try:
            counts = _write_entries(content, images, *writers, pairs)
        except (KeyError, TypeError, AttributeError) as error:
            raise source.malformed(_REGIONS, error) from error
        for writer, end in zip((*writers, pairs), ("]}", "]}", "}"), strict=True):
            writer.file.write(end)
    return counts


class _Entries:
    """Entries of a JSON list or mapping, written one by one: millions of them need not be in memory twice."""

    def __init__(self, file: TextIO, start: str) -> None:
        self.file = file
        self.number = 0
        file.write(start)

    def add(self, text: str) -> None:
        self.file.write(f"{', ' if self.number else ''}{text}")
        self.number += 1


def _write_entries(
    content: Iterable[Mapping[str, Any]],
    images: Mapping[int, Any],
    captions: _Entries,
    instances: _Entries,
    pairs: _Entries,
) -> dict[str, int]:
    total = outside = empty = 0
    for entry in content:
        grouped: dict[str, list[list[float]]] = {}
        for region in entry["regions"]:
            total += 1
            image = images.get(entry["id"])
            if image is None:
                continue
            phrase, box = " ".join(region["phrase"].split()), _inside(region, image)
            empty += is_blank(phrase)
            outside += box is None
            if not is_blank(phrase) and box is not None:
                grouped.setdefault(phrase, []).append(box)
        for phrase, boxes in grouped.items():
            first = instances.number + 1
            for box in boxes:
                note = {
                    "id": instances.number + 1,
                    "image_id": entry["id"],
                    "category_id": 1,
                    "bbox": box,
                    "iscrowd": 0,
                }
                instances.add(json.dumps(note | {"area": box[2] * box[3]}))
            key = captions.number + 1
            captions.add(dump_json({"id": key, "image_id": entry["id"], "caption": phrase}))
            pairs.add(f'"{key}": {list(range(first, first + len(boxes)))}')
    counts = {"regions in all": total, "regions without words": empty, "regions outside of their image": outside}
    return counts | {"train: captions": captions.number, "train: instances": instances.number}


def _inside(region: Mapping[str, Any], image: Mapping[str, Any]) -> list[float] | None:
    """Return a region cut to its image as left, top, width and height; ``None`` where nothing is left."""
    left, top = max(0, region["x"]), max(0, region["y"])
    right = min(image["width"], region["x"] + region["width"])
    bottom = min(image["height"], region["y"] + region["height"])
    return [left, top, right - left, bottom - top] if right > left and bottom > top else None
