"""Pairs that are to go into shards: from a folder of images and texts, or from COCO's annotation files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.shards.annotation import ID_LIMIT
from bus_toolkit.data.shards.tar_index import IMAGE_KINDS
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import dump_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceSample:
    """A pair before it is written: the image file, and the content of ``txt`` and ``json`` members by their kind."""

    image: Path
    texts: dict[str, bytes]


def pairs_of_folder(folder: str) -> list[SourceSample]:
    """Return the images below ``folder`` in the order of their paths, each with ``.txt`` or ``.json`` of its name.

    Texts without an image are left out; a warning says how many.

    Raises:
        DataError: No image, or images without a text.
    """
    root = expand_home(folder)
    images = sorted(path for path in root.rglob("*") if path.suffix.lower().lstrip(".") in IMAGE_KINDS)
    if not images:
        raise DataError(f"{root}: no image below this folder. Allowed are {', '.join(IMAGE_KINDS)}. Check the path.")
    texts = [{kind: path.with_suffix(f".{kind}") for kind in ("txt", "json")} for path in images]
    bare = [image for image, files in zip(images, texts, strict=True) if not any(f.is_file() for f in files.values())]
    if bare:
        raise DataError(
            f"{root}: {len(bare)} of {len(images)} images have no .txt or .json of the same name, the first is "
            f"{bare[0]}. Add the texts, or move these images away."
        )
    used = {file for files in texts for file in files.values()}
    unused = sorted(path for path in root.rglob("*") if path.suffix in (".txt", ".json") and path not in used)
    if unused:
        _log.warning(
            "%s: %d .txt or .json files have no image (%s) of the same name and are left out, the first is %s.",
            *(root, len(unused), ", ".join(IMAGE_KINDS), unused[0]),
        )
    return [
        SourceSample(image, {kind: file.read_bytes() for kind, file in files.items() if file.is_file()})
        for image, files in zip(images, texts, strict=True)
    ]


def pairs_of_coco(
    images: str, captions: str, *, instances: str | None = None, regions: str | None = None
) -> Iterator[SourceSample]:
    """Yield the captions of COCO's format in the order of the file, each with its image, and boxes where it has some.

    Args:
        images: Folder of the images (``data_root`` of mmpretrain's ``COCORetrieval``).
        captions: COCO captions JSON; a relative path starts at ``images``.
        instances: COCO instances JSON.
        regions: JSON, caption id to the ids of the instances it names.

    Raises:
        DataError: A file is missing or malformed; instances or regions alone; a caption that no training could use.
    """
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": images, "ann_file": captions}
    data = RegionCaptionDataset(reader, instances_file=instances, regions_file=regions)
    for index in range(len(data)):
        try:
            info = data.get_data_info(index)
            check_caption(info)
        except BadSample as error:
            raise DataError(f"{captions}: {error}. Correct it, or drop the caption.") from error
        image_id = one_form(info.get("image_ori_id", info["image_id"]))
        if type(image_id) is not int or not 0 <= image_id < ID_LIMIT:
            raise DataError(
                f"{captions}: image ids of a shard are whole numbers from 0 below 2^40, got {image_id!r}. Renumber the "
                "images."
            )
        record: dict[str, Any] = {"caption": info["text"], "image_id": image_id}
        if "gt_bboxes" in info:
            boxes = info["gt_bboxes"].astype(float)
            boxes[:, 2:] -= boxes[:, :2]
            # The boxes are float32: 3 decimals are what they hold on an image of some thousand pixels.
            record |= {"boxes": boxes.round(3).tolist(), "named": info["named"].tolist()}
        if "stated_size" in info:
            record |= dict(zip(("width", "height"), info["stated_size"], strict=True))
        yield SourceSample(Path(info["img_path"]), {"json": dump_json(record).encode()})


def read_image(sample: SourceSample) -> tuple[str, bytes]:
    """Return kind and bytes of the image of a sample.

    Raises:
        DataError: It cannot be read, is empty, or of a kind that a shard does not take.
    """
    kind = sample.image.suffix.lower().lstrip(".")
    if kind not in IMAGE_KINDS:
        raise DataError(f"{sample.image}: a shard takes {', '.join(IMAGE_KINDS)}, got {kind!r}. Convert the image.")
    try:
        content = sample.image.read_bytes()
    except OSError as error:
        raise DataError(f"{sample.image}: cannot be read: {error.strerror}. Check the folder of the images.") from error
    if not content:
        raise DataError(f"{sample.image}: the image has 0 bytes. Copy it again, or leave it out.")
    return kind, content
