"""COCO 2014: captions in Karpathy's or the official split, and instances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.karpathy import ORIGIN, SPLITS, convert_karpathy
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted, write_json

PAGE = "https://cocodataset.org/#download"
_YEARS = ("train2014", "val2014")
_IMAGES = tuple(Wanted(f"{year}/", f"{year}.zip of {PAGE}") for year in _YEARS)
_NOTES = f"annotations_trainval2014.zip of {PAGE}"
_INSTANCES = tuple(Wanted(f"annotations/instances_{year}.json", _NOTES, optional=True) for year in _YEARS)
# Karpathy's numbers are those that papers on retrieval state (113,287 / 5,000 / 5,000 images).
_KARPATHY = (
    Count("train: images", 113_287, sure=False),
    Count("train: captions", 566_747, sure=False),
    Count("val: images", 5_000, sure=False),
    Count("val: captions", 25_010, sure=False),
    Count("test: images", 5_000, sure=False),
    Count("test: captions", 25_010, sure=False),
)
_OFFICIAL = (
    # mmpretrain/datasets/coco_retrieval.py states both numbers of captions.
    Count("train: captions", 414_113),
    Count("val: captions", 202_654),
    Count("train: images", 82_783, sure=False),
    Count("val: images", 40_504, sure=False),
)


def _plan(options: Mapping[str, str]) -> Conversion:
    usage = (
        "train_dataloader.dataset.dataset.data_root={out}  dataset.dataset.ann_file=captions_train.json",
        "descriptions_file: {out}/instances_train.json   # classes as sentences, for RegionBatchSampler",
        "instances_file: null  regions_file: null        # COCO does not say which objects a caption names",
        "as one of several sources: registry_configs/_base_/data_4m_256.yaml",
    )
    if options["split"] == "karpathy":
        files = (Wanted("dataset_coco.json", ORIGIN), *_INSTANCES, *_IMAGES)
        return Conversion(files, _KARPATHY, _convert_karpathy, usage, {year: year for year in _YEARS})
    captions = tuple(Wanted(f"annotations/captions_{year}.json", _NOTES) for year in _YEARS)
    return Conversion((*captions, *_INSTANCES, *_IMAGES), _OFFICIAL, _convert_official, usage, {y: y for y in _YEARS})


COCO = Recipe(
    "coco",
    "COCO 2014",
    PAGE,
    _plan,
)


def _convert_karpathy(source: Download, out: Path) -> dict[str, int]:
    counts = convert_karpathy(source, out, "dataset_coco.json", None)
    splits: dict[int, str] = {}
    for entry in source.json("dataset_coco.json")["images"]:
        splits[entry["cocoid"]] = "train" if entry["split"] == "restval" else entry["split"]
    return counts | _split_instances(source, out, splits)


def _convert_official(source: Download, out: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    splits: dict[int, str] = {}
    for split, year in zip(SPLITS, _YEARS, strict=False):
        name = f"annotations/captions_{year}.json"
        content = source.json(name)
        try:
            images = [{**i, "coco_url": f"{year}/{i['file_name']}"} for i in content["images"]]
            notes = [note for note in content["annotations"] if not is_blank(note["caption"])]
        except (KeyError, TypeError, AttributeError) as error:
            raise source.malformed(name, error) from error
        check_images(source, "", (image["coco_url"] for image in images))
        write_json(out / f"captions_{split}.json", {"images": images, "annotations": notes})
        splits |= {image["id"]: split for image in images}
        counts |= {f"{split}: images": len(images), f"{split}: captions": len(content["annotations"])}
    return counts | _split_instances(source, out, splits)


def _split_instances(source: Download, out: Path, splits: Mapping[int, str]) -> dict[str, int]:
    """Write ``instances_<split>.json`` without outlines; nothing where the instances are not there."""
    files: dict[str, dict[str, list[Any]]] = {}
    for year in _YEARS:
        name = f"annotations/instances_{year}.json"
        if not source.has(name):
            continue
        content = source.json(name)
        try:
            for image in content["images"]:
                if image["id"] in splits:
                    _file(files, splits[image["id"]], content)["images"].append(image)
            for note in content["annotations"]:
                if note["image_id"] in splits:
                    kept = {key: value for key, value in note.items() if key != "segmentation"}
                    _file(files, splits[note["image_id"]], content)["annotations"].append(kept)
        except (KeyError, TypeError, AttributeError) as error:
            raise source.malformed(name, error) from error
    for split, file in files.items():
        write_json(out / f"instances_{split}.json", file)
    return {f"{split}: instances": len(file["annotations"]) for split, file in files.items()}


def _file(files: dict[str, dict[str, list[Any]]], split: str, content: Mapping[str, Any]) -> dict[str, list[Any]]:
    return files.setdefault(split, {"images": [], "annotations": [], "categories": content["categories"]})
