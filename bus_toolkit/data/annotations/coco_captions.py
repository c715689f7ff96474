"""Refuse COCO caption files that give one id to two pictures, or to two captions."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import load_json


def refuse_shared_ids(path: str | Path, location: str, *, captions: bool) -> None:
    """Refuse a caption file that mmpretrain's ``COCORetrieval`` would read wrongly without a word.

    It keeps the first file of an image id, so that the captions of the second would be trained on the wrong picture.
    Two captions of one id share the boxes that a regions file gives to that id. A file of another form passes: its
    reader reports the fault.

    Args:
        path: COCO captions JSON.
        location: The setting that names the file, for the message.
        captions: Whether ids of captions matter too.

    Raises:
        DataError: Ids are shared; the message names the first ones.
    """
    try:
        content = load_json(Path(path).read_text(encoding="utf-8-sig"))
        shared = list(shared_image_ids(content)) + (list(shared_caption_ids(content)) if captions else [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if shared:
        raise DataError(
            f"{location}: {path}: {len(shared)} ids are used twice: {'; '.join(shared[:3])}. Give each its own id; "
            "`bus-toolkit verify` lists all."
        )


def unreadable_because(path: str | Path) -> str:
    """Return why mmpretrain's readers cannot read a file of captions, with the remedy; empty if nothing is known."""
    try:
        held = Path(path).read_bytes()
        content = load_json(held.decode("utf-8-sig"))
        images = {image["id"] for image in content["images"]}
        without = [one["image_id"] for one in content["annotations"] if one["image_id"] not in images]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    if held.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark, which this reader does not read. Save it as UTF-8 without one."
    if not without:
        return ""
    known = f"; images[0] has {content['images'][0]['id']!r}" if images else ""
    return (
        f"{len(without)} captions are of an image_id that no image has, the first is {without[0]!r}{known}. Write ids "
        "in one form in both lists."
    )


def shared_image_ids(content: Mapping[str, Any]) -> Iterable[str]:
    """Yield a line for each image id that names two different files; the same entry twice does no harm."""
    known: dict[Any, str] = {}
    for place, image in enumerate(content.get("images", ())):
        file = str(image.get("coco_url") or image.get("file_name"))
        first = known.setdefault(image["id"], file)
        if first != file:
            yield f"images[{place}]: id {image['id']} of {file} is that of {first}"


def shared_caption_ids(content: Mapping[str, Any]) -> Iterable[str]:
    """Yield a line for each caption id that an earlier caption has."""
    known: dict[Any, int] = {}
    for place, caption in enumerate(content["annotations"]):
        first = known.setdefault(caption["id"], place)
        if first != place:
            yield f"annotations[{place}]: caption id {caption['id']} is that of annotations[{first}]"
