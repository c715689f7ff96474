"""The JSON member of a sample.

``{"caption": "a dog", "image_id": 12, "boxes": [[x, y, w, h], ...], "named": [true, ...]}``; each key may be missing,
further keys are passed over. Our own form; img2dataset writes ``caption`` too.

- ``caption``: the text; a ``txt`` member of the sample takes precedence.
- ``image_id``: a whole number that all captions of one picture share, from 0 below 2^40.
- ``boxes``: left, top, width and height in pixels of the upright image: where EXIF rotates it, as it is shown.
- ``width`` and ``height``: of the upright image, to check against the pixels where there are boxes.
- ``named``: which of the boxes the caption speaks of, one a box; without it, all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.coordinates import are_coordinates
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.json_text import parse_json

ID_LIMIT = 1 << 40


@dataclass(frozen=True)
class Annotation:
    """The content of a JSON member: ``boxes`` float32 (n, 4), corners in pixels; ``named`` bool (n,); n may be 0.

    ``size`` is width and height in pixels, where both are stated.
    """

    caption: object
    image_id: int | None
    boxes: np.ndarray
    named: np.ndarray
    size: tuple[int, int] | None = None


def parse_annotation(content: bytes) -> Annotation:
    """Read a JSON member.

    Raises:
        ValueError: It is no JSON, or a key holds something else than it should.
    """
    try:
        data = parse_json(content)
    except ValueError as error:
        raise ValueError(f"the json is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"the json must be a mapping, got {type(data).__name__}")
    image_id = data.get("image_id")
    if image_id is not None and not (type(image_id) is int and 0 <= image_id < ID_LIMIT):
        raise ValueError(f"json image_id must be a whole number from 0 below 2^40, got {image_id!r}")
    boxes = data.get("boxes") or []
    if not isinstance(boxes, list) or not all(_is_box(box) for box in boxes):
        wrong = next((box for box in boxes if not _is_box(box)), boxes) if isinstance(boxes, list) else boxes
        raise ValueError(f"json boxes must be [x, y, w, h] each, finite, w and h 0 or more, got {wrong!r}")
    named = data.get("named")
    named = [True] * len(boxes) if named is None else named
    if not isinstance(named, list) or len(named) != len(boxes) or not all(type(flag) is bool for flag in named):
        raise ValueError(f"json named must have true or false for each of {len(boxes)} boxes, got {named!r}")
    # (n, 4) for n = 0 too; float64, so that right and bottom are rounded to float32 once.
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    width, height = one_form(data.get("width")), one_form(data.get("height"))
    size = (width, height) if type(width) is int and type(height) is int else None
    return Annotation(data.get("caption"), image_id, corners.astype(np.float32), np.array(named, dtype=bool), size)


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    return numbers and are_coordinates(box) and box[2] >= 0 and box[3] >= 0
