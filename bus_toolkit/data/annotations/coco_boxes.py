"""Annotation files with boxes: COCO instances, which of them a caption names, descriptions of regions.

``location`` is the setting that names the file, for messages. Every reader raises ``DataError`` for a file that cannot
be read, is not JSON or has another form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.class_phrases import CLASS_TEMPLATE, describe_instances, holds_instances
from bus_toolkit.data.annotations.coordinates import are_coordinates
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json


@dataclass(frozen=True)
class Instances:
    """The objects of a file of COCO instances; ids are in one form (``joins.one_form``).

    Attributes:
        boxes: Image id to boxes float32 (n, 4), corners in pixels, and instance ids int64 (n,); without crowds.
        sizes: Image id to width and height in pixels, of the images for which the file states both.
        crowds: Ids of the instances that are crowds, whose box is not that of one object.
    """

    boxes: dict[Any, tuple[np.ndarray, np.ndarray]]
    sizes: dict[Any, tuple[int, int]]
    crowds: frozenset[int]

    def attach(self, sample: dict[str, Any], image: Any, wanted: Sequence[int]) -> None:
        """Give a sample the boxes of its image, which of them its text names, and the size that the file states.

        A text that names crowds alone gets no boxes: where these are is not known.

        Args:
            sample: Gets ``gt_bboxes``, ``named`` and ``stated_size``.
            image: Id of its image in one form, which has boxes.
            wanted: Ids of the instances that the text names.

        Raises:
            BadSample: The text names an instance that the image does not have.
        """
        boxes, identities = self.boxes[image]
        named = np.isin(identities, wanted)
        unknown = set(wanted) - set(identities.tolist()) - self.crowds
        if unknown:
            raise BadSample(
                sample["img_path"],
                f"text {str(sample['text'])[:40]!r} names instance {min(unknown)}, which its image does not have",
            )
        if wanted and not named.any():
            return
        sample.update(gt_bboxes=boxes.copy(), named=named)
        if image in self.sizes:
            sample["stated_size"] = self.sizes[image]


def read_instances(path: str, location: str) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """Return image id to boxes float32 (n, 4) as corners, and instance ids int64 (n,)."""
    return read_coco_instances(path, location).boxes


def read_coco_instances(path: str, location: str) -> Instances:
    """Return boxes, stated sizes of images and crowds.

    Raises:
        DataError: Also for a box that is not finite or has a negative side, and for an instance id that is used twice.
    """
    content = read_json(path, location)
    grouped: dict[Any, list[dict[str, Any]]] = {}
    crowds, ids = set(), set()
    try:
        for item in content["annotations"]:
            identity = instance_id(item["id"])
            if identity in ids:
                raise DataError(
                    f"{location}: {path}: instance id {identity} is used twice, so a caption that names it names two "
                    "objects. Give each its own id."
                )
            ids.add(identity)
            if one_form(item.get("iscrowd")):  # "0" is none, although it is true to Python
                crowds.add(identity)
            else:
                grouped.setdefault(one_form(item["image_id"]), []).append({**item, "id": identity})
        arrays = {}
        for key, items in grouped.items():
            # (n, 4): left, top, width and height, which become corners below.
            boxes = np.array([box_sides(item) for item in items], dtype=np.float32)
            check_sides(boxes, [f"instance {item['id']} of image {key}" for item in items], f"{location}: {path}")
            boxes[:, 2:] += boxes[:, :2]
            arrays[key] = (boxes, np.array([item["id"] for item in items], dtype=np.int64))
        return Instances(arrays, stated_sizes(content), frozenset(crowds))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{location}: {path} does not hold COCO instances ({type(error).__name__}: {error}). "
            "Each annotation needs id, image_id and bbox [x, y, width, height]."
        ) from error


def stated_sizes(content: Mapping[str, Any]) -> dict[Any, tuple[int, int]]:
    """Return image id in one form to the width and height in pixels that COCO's ``images`` state."""
    images = content.get("images", ())
    stated = {one_form(image["id"]): (one_form(image.get("width")), one_form(image.get("height"))) for image in images}
    return {key: size for key, size in stated.items() if all(isinstance(side, int) for side in size)}


def instance_id(identity: Any) -> int:
    """Return the id of an instance as a whole number that fits int64.

    Raises:
        ValueError: It is none.
    """
    number = one_form(identity)
    if type(number) is not int or not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"the id of an instance must be a whole number from -2^63 below 2^63, got {identity!r}")
    return number


def read_regions(path: str, location: str) -> dict[Any, list[int]]:
    """Return caption id, in one form, to the ids of the instances that it names.

    Raises:
        DataError: Also for a caption id that occurs twice in the file.
    """
    content = read_json(path, location)
    try:
        return {one_form(caption): [instance_id(one) for one in named] for caption, named in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{location}: {path} does not hold regions ({type(error).__name__}: {error}). "
            'It needs {"<caption id>": [<instance id>, ...], ...}.'
        ) from error


def read_descriptions(path: str, location: str, class_template: str | None = None) -> dict[Any, dict[str, np.ndarray]]:
    """Return image id in one form to its descriptions, each with the boxes it fits, float32 (n, 4), corners in pixels.

    A file of COCO instances describes by the names of classes, in ``class_template``.
    """
    content = read_json(path, location)
    if holds_instances(content):
        template = CLASS_TEMPLATE if class_template is None else class_template
        return _arrays(describe_instances(content, template, f"{location}: {path}"))
    refuse_template(class_template, path, location)
    grouped: dict[Any, dict[str, list[list[float]]]] = {}
    with refuse_descriptions(f"{location}: {path}"):
        add_descriptions(grouped, content)
        return _arrays(grouped)


def add_descriptions(grouped: dict[Any, dict[str, list[list[float]]]], images: Iterable[Mapping[str, Any]]) -> None:
    """Add the phrases of Visual Genome's entries, each with its boxes as corners, by image id in one form."""
    for image in images:
        for region in image["regions"]:
            text, corner = region["phrase"].strip(), (region["x"], region["y"])
            box = [*corner, corner[0] + region["width"], corner[1] + region["height"]]
            if not is_blank(text):
                if not are_coordinates(box) or region["width"] < 0 or region["height"] < 0:
                    raise ValueError(f"the box of {text[:40]!r} of image {image['id']} is {box}")
                grouped.setdefault(one_form(image["id"]), {}).setdefault(text, []).append(box)


def refuse_template(class_template: str | None, path: str | Path, location: str) -> None:
    """Refuse a template for a file that names no classes.

    Raises:
        DataError: There is one.
    """
    if class_template is not None:
        raise DataError(
            f"{location}: class_template names the classes of COCO instances, and {path} holds none. "
            "Leave class_template out, or give COCO instances."
        )


@contextmanager
def refuse_descriptions(source: str) -> Iterator[None]:
    """Report what reading Visual Genome's entries raises in a ``with`` block.

    Raises:
        DataError: The entries have another form.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{source} does not hold region descriptions ({type(error).__name__}: {error}). As Visual "
            'Genome, it needs [{"id": <image id>, "regions": [{"phrase", "x", "y", "width", "height"}, ...]}, ...]; '
            "or give COCO instances."
        ) from error


def _arrays(grouped: dict[Any, dict[str, list[list[float]]]]) -> dict[Any, dict[str, np.ndarray]]:
    return {k: {t: np.array(b, dtype=np.float32) for t, b in texts.items()} for k, texts in grouped.items()}


def box_sides(item: Mapping[str, Any]) -> Any:
    """Return the box of an instance; another number of values would shift the boxes of those that follow."""
    box = item["bbox"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"bbox of instance {item['id']} is {str(box)[:60]}")
    return box


def check_sides(boxes: np.ndarray, names: list[str], source: str) -> None:
    """Refuse boxes (n, 4) as x, y, width and height that are not finite or have a negative side."""
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if wrong.any():
        place = int(wrong.argmax())
        raise DataError(
            f"{source}: {names[place]}: x, y, width and height must be finite, the last two 0 or more, got "
            f"{boxes[place].tolist()}. Correct it, or drop the annotation."
        )


def read_json(path: str, location: str) -> Any:
    """Return the content of a JSON file in which every key is there once."""
    try:
        return parse_json(expand_home(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{location}: {path} cannot be read: {error.strerror}. Correct the path.") from error
    except ValueError as error:
        raise DataError(f"{location}: {path} is not JSON: {error}. Write or copy the file again.") from error
