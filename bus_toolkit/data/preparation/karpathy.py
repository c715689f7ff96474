"""Karpathy's splits of COCO and Flickr30k (Karpathy and Fei-Fei, CVPR 2015) as COCO captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.recipe import Download, write_json

SPLITS = ("train", "val", "test")
ORIGIN = "caption_datasets.zip of https://cs.stanford.edu/people/karpathy/deepimagesent/"


def convert_karpathy(source: Download, out: Path, name: str, folder: str | None) -> dict[str, int]:
    """Write ``captions_{train,val,test}.json`` in COCO's form; ``restval`` joins the training split, as is usual.

    Args:
        source: The data set.
        out: Folder to write.
        name: Karpathy's JSON.
        folder: Folder of the images; ``None`` for the one that each entry names.

    Returns:
        Images and captions of each split.

    Raises:
        DataError: The file has another form, or images are missing.
    """
    content = source.json(name)
    files = {split: _empty() for split in SPLITS}
    try:
        for entry in content["images"]:
            file = files["train" if entry["split"] == "restval" else entry["split"]]
            file["images"].append(_image(entry, folder))
            file["annotations"].extend(_captions(entry))
    except (KeyError, TypeError, AttributeError) as error:
        raise source.malformed(name, error) from error
    check_images(source, "", (image["coco_url"] for file in files.values() for image in file["images"]))
    counts = {}
    for split, file in files.items():
        write_json(out / f"captions_{split}.json", file)
        counts[f"{split}: images"] = len(file["images"])
        counts[f"{split}: captions"] = len(file["annotations"])
    return counts


def _empty() -> dict[str, list[dict[str, Any]]]:
    return {"images": [], "annotations": []}


def _image(entry: dict[str, Any], folder: str | None) -> dict[str, Any]:
    place = entry["filepath"] if folder is None else folder
    # COCO's own ids, where there are any: instances and questions speak of these.
    return {
        "id": entry.get("cocoid", entry["imgid"]),
        "file_name": entry["filename"],
        "coco_url": f"{place}/{entry['filename']}",
    }


def _captions(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for sentence in entry["sentences"]:
        text = " ".join(sentence["raw"].split())
        if not is_blank(text):
            yield {"id": sentence["sentid"], "image_id": entry.get("cocoid", entry["imgid"]), "caption": text}
