"""Files of referring expressions: references in RefCOCO's form, and the images of COCO instances.

``location`` is the setting that names the file, for messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.coco_boxes import read_json
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json

_PICKLES = frozenset((".p", ".pkl", ".pickle"))
_FORM = (
    'It needs [{"ref_id", "image_id", "ann_id", "split", "sentences": [{"sent_id", "sent"}, ...]}, ...]; '
    "`bus-toolkit prepare refcoco` writes it."
)


@dataclass(frozen=True)
class Reference:
    """One expression and the instance it means."""

    text: str
    sent_id: int
    image_id: int
    ann_id: int


@dataclass(frozen=True)
class ImageEntry:
    """Name of an image file, and its width and height in pixels where the annotations state both."""

    file_name: str
    size: tuple[int, int] | None


def read_references(path: str, location: str, splits: Sequence[str] | None = None) -> list[Reference]:
    """Return the expressions of a JSON file, in order; of some ``splits`` alone where these are named.

    RefCOCO's own ``refs(unc).p`` is a pickle, which can run code when it is read, and is refused.

    Raises:
        DataError: A pickle, a file that cannot be read or has another form, an expression without words, an id that is
            there twice, ``splits`` that are no list, or none left.
    """
    if Path(path).suffix.lower() in _PICKLES:
        raise DataError(
            f"{location}: {path} is a pickle, which can run code when it is read, so it never is. JSON is read. "
            "Convert it once: bus-toolkit prepare refcoco"
        )
    if isinstance(splits, str):
        # Each letter would count as a split, and "test" as one of testA.
        raise DataError(f"{location}: splits must be a list, got {splits!r}. Write [{splits}].")
    try:
        content = parse_json(expand_home(path).read_text(encoding="utf-8-sig"))
        rows = [
            Reference(sentence["sent"], sentence["sent_id"], reference["image_id"], reference["ann_id"])
            for reference in content
            if splits is None or reference["split"] in splits
            for sentence in reference["sentences"]
        ]
    except OSError as error:
        raise DataError(f"{location}: {path} cannot be read: {error.strerror}. Correct the path.") from error
    except ValueError as error:
        raise DataError(f"{location}: {path} is not JSON: {error}. {_FORM}") from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{location}: {path} does not hold references ({type(error).__name__}: {error}). {_FORM}"
        ) from error
    _check(rows, path, location)
    if not rows:
        wanted = "" if splits is None else f" of the splits {', '.join(splits)}"
        raise DataError(f"{location}: {path} has no expressions{wanted}. Name another file or other splits.")
    return rows


def _check(rows: Sequence[Reference], path: str, location: str) -> None:
    seen: set[Any] = set()
    for row in rows:
        if not isinstance(row.text, str) or is_blank(row.text):
            raise DataError(
                f"{location}: {path}: sent_id {row.sent_id}: an expression needs words, got {row.text!r}. "
                "Remove the sentence or write it again."
            )
        if one_form(row.sent_id) in seen:
            raise DataError(
                f"{location}: {path}: sent_id {row.sent_id} is there twice. Each sentence has an id of its own. "
                "Renumber them."
            )
        seen.add(one_form(row.sent_id))


def read_images(path: str, location: str) -> dict[Any, ImageEntry]:
    """Return image id, in one form, to file name and size, from COCO instances.

    Raises:
        DataError: The file has another form, or an image id is there twice.
    """
    content: Mapping[str, Any] = read_json(path, location)
    entries: dict[Any, ImageEntry] = {}
    try:
        for image in content["images"]:
            key = one_form(image["id"])
            if key in entries:
                raise DataError(
                    f"{location}: {path}: image id {image['id']} is there twice. Each image has an id of its own. "
                    "Renumber them."
                )
            width, height = image.get("width"), image.get("height")
            size = None if width is None or height is None else (int(width), int(height))
            entries[key] = ImageEntry(str(image["file_name"]), size)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{location}: {path} does not list its images ({type(error).__name__}: {error}). COCO instances have "
            '"images": [{"id", "file_name", "width", "height"}, ...].'
        ) from error
    return entries
