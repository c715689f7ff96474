"""Annotation files with boxes: COCO instances, which of them a caption names, descriptions of regions.

``where`` is the setting that names the file, for messages. Every reader raises ``DataError`` for a file that cannot be
read, is not JSON or has another form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.instance_files import CLASS_TEMPLATE, describe_instances, holds_instances
from bus_toolkit.errors import DataError


def read_instances(path: str, where: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return image id to boxes float32 (n, 4) as corners, and instance ids int64 (n,)."""
    grouped: dict[int, list[dict[str, Any]]] = {}
    try:
        for item in _read_json(path, where)["annotations"]:
            if not item.get("iscrowd"):
                grouped.setdefault(item["image_id"], []).append(item)
        found = {}
        for key, items in grouped.items():
            boxes = np.array([item["bbox"] for item in items], dtype=np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            found[key] = (boxes, np.array([item["id"] for item in items], dtype=np.int64))
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: {path} does not hold COCO instances ({type(error).__name__}: {error}). "
            "Each annotation needs id, image_id and bbox [x, y, width, height]."
        ) from error


def read_regions(path: str, where: str) -> dict[int, list[int]]:
    """Return caption id to the ids of the instances that it names."""
    content = _read_json(path, where)
    try:
        return {int(caption): [int(instance) for instance in named] for caption, named in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: {path} does not hold regions ({type(error).__name__}: {error}). "
            'It needs {"<caption id>": [<instance id>, ...], ...}.'
        ) from error


def read_descriptions(path: str, where: str, class_template: str | None = None) -> dict[int, dict[str, np.ndarray]]:
    """Return image id to its descriptions, each with the boxes it fits, float32 (n, 4), corners in pixels.

    A file of COCO instances describes by the names of classes, in ``class_template``.
    """
    content = _read_json(path, where)
    if holds_instances(content):
        template = CLASS_TEMPLATE if class_template is None else class_template
        return _arrays(describe_instances(content, template, f"{where}: {path}"))
    if class_template is not None:
        raise DataError(
            f"{where}: class_template names the classes of COCO instances, and {path} holds none. "
            "Leave class_template out, or give COCO instances."
        )
    grouped: dict[int, dict[str, list[list[float]]]] = {}
    try:
        for image in content:
            for region in image["regions"]:
                text, corner = region["phrase"].strip(), (region["x"], region["y"])
                box = [*corner, corner[0] + region["width"], corner[1] + region["height"]]
                if text:
                    grouped.setdefault(image["id"], {}).setdefault(text, []).append(box)
        return _arrays(grouped)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: {path} does not hold region descriptions ({type(error).__name__}: {error}). As Visual "
            'Genome, it needs [{"id": <image id>, "regions": [{"phrase", "x", "y", "width", "height"}, ...]}, ...]; '
            "or give COCO instances."
        ) from error


def _arrays(grouped: dict[int, dict[str, list[list[float]]]]) -> dict[int, dict[str, np.ndarray]]:
    return {k: {t: np.array(b, dtype=np.float32) for t, b in texts.items()} for k, texts in grouped.items()}


def _read_json(path: str, where: str) -> Any:
    try:
        return json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{where}: {path} cannot be read: {error.strerror}. Set it to where the file is.") from error
    except ValueError as error:
        raise DataError(f"{where}: {path} is not JSON: {error}. Write or copy the file anew.") from error
