"""Faults of annotation files that their readers pass over, or of which they name only the first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.data.annotations.class_phrases import holds_instances
from bus_toolkit.data.annotations.coco_boxes import stated_sizes
from bus_toolkit.data.annotations.coco_captions import shared_caption_ids, shared_image_ids
from bus_toolkit.data.annotations.coordinates import are_coordinates
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.verify.report import Fault, Report
from bus_toolkit.json_text import load_json


def report_file_faults(node: Mapping[str, Any], report: Report) -> None:
    """Report the faults of the COCO files that the config node of a data set names, those inside it included."""
    kind = str(node.get("type")).rsplit(".", 1)[-1]
    if kind == "COCORetrieval" and node.get("ann_file"):
        # As MMEngine joins them: a relative path starts at data_root.
        path = os.path.join(os.path.expanduser(node.get("data_root") or ""), os.path.expanduser(node["ann_file"]))
        _check(path, captions_faults, report)
        content = _content(path)
        if content is not None:
            report.count("images without a caption", _images_without_caption(content))
    if isinstance(node.get("instances_file"), str):
        _check(os.path.expanduser(node["instances_file"]), instance_faults, report)
    for value in node.values():
        for inner in value if isinstance(value, list | tuple) else [value]:
            if isinstance(inner, Mapping):
                report_file_faults(inner, report)


def captions_faults(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and reason for each fault of COCO captions: shared ids, and captions of images that are not there."""
    yield from (("id", problem) for problem in shared_image_ids(content))
    yield from (("id", problem) for problem in shared_caption_ids(content))
    # In the form of the file, as COCORetrieval compares them.
    known = {image["id"] for image in content["images"]}
    for place, caption in enumerate(content["annotations"]):
        if caption["image_id"] not in known:
            yield "id", f"annotations[{place}]: image id {caption['image_id']} is none of the {len(known)} images"


def instance_faults(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and reason for each fault of COCO instances: shared ids, boxes that are none or outside."""
    sizes, known = stated_sizes(content), {one_form(image["id"]) for image in content.get("images", ())}
    first: dict[Any, int] = {}
    for place, item in enumerate(content["annotations"]):
        here = f"annotations[{place}]: instance {item['id']} of image {item['image_id']}"
        if first.setdefault(one_form(item["id"]), place) != place:
            yield "id", f"{here}: this id is that of annotations[{first[one_form(item['id'])]}]"
        if known and one_form(item["image_id"]) not in known:
            yield "id", f"{here}: that is none of the {len(known)} images"
        size = sizes.get(one_form(item["image_id"]))
        reason = None if one_form(item.get("iscrowd")) else box_fault(item.get("bbox"), size)
        if reason is not None:
            yield "box", f"{here}: {reason}"


def box_fault(box: Any, size: tuple[int, int] | None) -> str | None:
    """Return what is wrong with left, top, width and height of a box, in an image of that width and height.

    A box without area is not: COCO has some, and they are left out.
    """
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        return f"a box is [x, y, width, height], got {box!r}"
    if not are_coordinates(box) or min(box[2:]) < 0:
        return f"a box must be finite, its sides 0 or more, got {box}"
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if right <= 0 or bottom <= 0 or (size is not None and (left >= size[0] or top >= size[1])):
        return f"the box lies outside its image{'' if size is None else f' of {size[0]} x {size[1]} pixels'}, got {box}"
    return None


def _images_without_caption(content: Mapping[str, Any]) -> int:
    captioned = {caption.get("image_id") for caption in content.get("annotations", ())}
    return len({image.get("id") for image in content.get("images", ())} - captioned)


def _check(path: str, faults: Any, report: Report) -> None:
    content = _content(path)
    if content is None:
        return  # The reader reports it.
    try:
        for kind, reason in faults(content):
            report.add(Fault(kind, path, reason))
    except (KeyError, TypeError, AttributeError) as error:
        report.add(Fault("file", path, f"it is not in COCO's format: {type(error).__name__}: {error}"))


def _content(path: str) -> Mapping[str, Any] | None:
    try:
        content = load_json(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None
    return content if holds_instances(content) else None
