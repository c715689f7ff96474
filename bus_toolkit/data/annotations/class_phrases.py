"""COCO instances as texts: each class that an image shows is a phrase, with all boxes that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.coordinates import are_coordinates
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.errors import DataError

CLASS_TEMPLATE = "This is a {name}."
"""How COPA (arXiv 2308.03475) speaks of a detection class; its exact words were not readable."""
_PARTS = ("images", "annotations", "categories")


def holds_instances(content: object) -> bool:
    """Return whether the content of a JSON file has the form of COCO's files."""
    return isinstance(content, dict) and not content.keys().isdisjoint(_PARTS)


def describe_instances(
    content: Mapping[str, Any], template: str, source: str, *, first: int = 0
) -> dict[int, dict[str, list[list[float]]]]:
    """Return image id to its phrases, each with the boxes of all objects of that class, as corners in pixels.

    The article stays as the template has it ("This is a airplane."), as in CLIP's prompts: one fixed frame round the
    name. Crowds are left out, since their box is not that of one object, and so are boxes without area, of which COCO
    has a few. An image without any other object has no entry.

    Args:
        content: COCO instances: ``categories`` with id and name, ``annotations`` with image_id, category_id and bbox.
        template: The text, with ``{name}`` where the name of the class goes.
        source: Setting and file, for messages.
        first: Number of the first of these annotations in the file, for messages.

    Raises:
        DataError: A template without ``{name}``, a part that is missing, or an entry of another form.
    """
    if "{name}" not in template:
        raise DataError(
            f"{source}: class_template must have {{name}} where the name of the class goes, got {template!r}. "
            f"Write e.g. {CLASS_TEMPLATE!r}."
        )
    texts = {key: template.replace("{name}", name) for key, name in _class_names(content, source).items()}
    phrases: dict[int, dict[str, list[list[float]]]] = {}
    for place, item in _entries(content, "annotations", source, first):
        if one_form(item.get("iscrowd")):
            continue
        image, kind = one_form(item.get("image_id")), one_form(item.get("category_id"))
        if not isinstance(image, int):
            raise DataError(f"{place}.image_id: must be a whole number, got {image!r}. Write the id of its image.")
        if not isinstance(kind, int) or kind not in texts:
            raise DataError(
                f"{place}.category_id: must be the id of one of the {len(texts)} categories, got "
                f"{item.get('category_id')!r}. Add that category, or drop the annotation."
            )
        box = _corners(item.get("bbox"), place)
        if box[2] > box[0] and box[3] > box[1]:
            phrases.setdefault(image, {}).setdefault(texts[kind], []).append(box)
    return phrases


def _class_names(content: Mapping[str, Any], source: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for place, item in _entries(content, "categories", source):
        key, name = one_form(item.get("id")), item.get("name")
        if not isinstance(key, int) or not isinstance(name, str) or is_blank(name):
            raise DataError(
                f"{place}: needs a whole number as id and a word as name, got {key!r} and {name!r}. "
                "Write both, as COCO does."
            )
        if key in names:
            raise DataError(f"{place}.id: {key} is already that of {names[key]!r}. Give each category its own id.")
        names[key] = name.strip()
    return names


def _entries(content: Mapping[str, Any], part: str, source: str, first: int = 0) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of a part, each with its location."""
    entries = content.get(part)
    if not isinstance(entries, list):
        raise DataError(
            f"{source}: {part} must be a list, got {type(entries).__name__ if part in content else 'none'}. COCO "
            "instances have annotations and categories. Use a file of instances, not of captions, or add the list."
        )
    for index, item in enumerate(entries, start=first):
        if not isinstance(item, dict):
            raise DataError(f"{source}: {part}[{index}]: must be a mapping, got {item!r}. Write it as COCO does.")
    return [(f"{source}: {part}[{index}]", item) for index, item in enumerate(entries, start=first)]


def _corners(bbox: object, place: str) -> list[float]:
    """Return left, top, right and bottom of a box given as left, top, width and height."""
    good = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(v, (int, float)) for v in bbox)
    if not isinstance(bbox, list) or not good or not are_coordinates(bbox) or min(bbox[2:]) < 0:
        raise DataError(
            f"{place}.bbox: must be four numbers, x, y, width and height, the last two 0 or more, got {bbox!r}. "
            "Correct it, or drop the annotation."
        )
    left, top, width, height = bbox
    return [left, top, left + width, top + height]
