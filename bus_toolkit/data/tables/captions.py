"""COCO's captions as a table, read as mmpretrain's ``COCORetrieval`` reads the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.tables.columns import Columns, entry_of, pieces
from bus_toolkit.data.tables.joining import Lookup, values, whole_numbers
from bus_toolkit.data.tables.json_stream import list_sections
from bus_toolkit.data.tables.ready import Recipe, ready_table
from bus_toolkit.data.tables.table import Form, check_range
from bus_toolkit.errors import DataError

_FORM = Form(
    "captions",
    1,
    {"image_id": (np.int64, None), "caption_id": (np.int64, None), "image": (np.int32, None)},
    texts=("path", "text"),
)


class CaptionTable:
    """The captions of a file, one row each, and their images.

    Args:
        file: COCO captions.
        table_dir: Folder of tables.
        prefix: Folder of the images.
        name: The data set, for messages.

    Attributes:
        sources: The file by its setting, for tables that are joined with this one.

    Raises:
        DataError: The file cannot be read or has another form, ids that are no whole numbers, or an id of two pictures.
    """

    def __init__(self, file: Path, table_dir: str, prefix: str, name: str) -> None:
        location = f"{name}.dataset.ann_file"
        self.sources = {location: file}
        recipe = Recipe(_FORM, self.sources, lambda columns: _make(file, location, columns))
        self.table = ready_table(recipe, table_dir, f"{name}.table_dir")
        self.prefix = prefix
        self._check()

    @property
    def image_ids(self) -> np.ndarray:
        """Id of each image of the file; int64."""
        return self.table["image_id"]

    @property
    def caption_ids(self) -> np.ndarray:
        """Id of each caption; int64."""
        return self.table["caption_id"]

    @property
    def images(self) -> np.ndarray:
        """Row of the image of each caption; int32."""
        return self.table["image"]

    def used_ids(self) -> np.ndarray:
        """Return the ids of the images that have captions, ascending; int64."""
        used = np.zeros(len(self.image_ids), dtype=bool)
        used[self.images] = True
        return np.sort(self.image_ids[used])

    def __len__(self) -> int:
        """Return the number of captions."""
        return len(self.images)

    def get_data_info(self, row: int) -> dict[str, Any]:
        """Return what ``COCORetrieval`` returns of a caption, but for keys of the file that nothing here reads."""
        image = int(self.images[row])
        return {
            "text": self.table.text("text", row),
            "ori_id": int(self.caption_ids[row]),
            "text_id": row,
            "image_id": image,
            "image_ori_id": int(self.image_ids[image]),
            "img_path": os.path.join(self.prefix, *str(self.table.text("path", image)).split("/")),
            "is_matched": True,
            "sample_idx": row,
        }

    def _check(self) -> None:
        table = self.table
        rows = (len(self.images), len(self.caption_ids), len(table["text_ends"]))
        try:
            if len(set(rows)) > 1 or len(self.image_ids) != len(table["path_ends"]):
                raise ValueError("its columns have different numbers of rows")
            check_range(self.images, 0, len(self.image_ids), "image")
        except ValueError as error:
            raise table.damaged(str(error)) from error


def refuse_repeated_captions(captions: CaptionTable, own: Lookup) -> None:
    """Refuse captions of one id: they would share the boxes that a file of regions gives to that id.

    Args:
        captions: The captions.
        own: Their ids.

    Raises:
        DataError: There are some.
    """
    again = own.repeated()
    if len(again):
        ((setting, file),) = captions.sources.items()
        first = int(captions.caption_ids[again[0]])
        raise DataError(
            f"{setting}: {file}: {len(again)} ids are used twice: annotations[{again[0]}]: caption id {first} is that "
            "of an earlier one. Give each its own id; `bus-toolkit verify` lists all."
        )


def _make(file: Path, location: str, columns: Columns) -> None:
    source = f"{location}: {file}"
    ids, captions = columns.numbers("image_id", np.int64), columns.numbers("caption_id", np.int64)
    paths, texts = columns.texts("path"), columns.texts("text")
    held: dict[str, list[np.ndarray]] = {"images": [np.zeros(0, np.int64)], "captions": [np.zeros(0, np.int64)]}
    for key, entries in list_sections(file, ("images", "annotations"), location):
        numbers = whole_numbers(values(entries, "id", f"{source}: {key}"), f"{source}: {key}")
        if key == "images":
            held["images"].append(numbers)
            ids.add(numbers)
            paths.add([_path(url, source) for url in values(entries, "coco_url", f"{source}: {key}")])
        else:
            of_images = values(entries, "image_id", f"{source}: {key}")
            held["captions"].append(whole_numbers(of_images, f"{source}: {key}"))
            captions.add(numbers)
            texts.add(values(entries, "caption", f"{source}: {key}"))
    image_ids, of = (np.concatenate(held.pop(name)) for name in ("images", "captions"))
    if not len(of):
        raise DataError(f"{source} has no captions. Check that it is the right file.")
    lookup = Lookup(image_ids)
    _write_images(lookup, of, columns, source)
    _refuse_two_pictures(lookup, image_ids, columns, source)


def _write_images(lookup: Lookup, of: np.ndarray, columns: Columns, source: str) -> None:
    image = columns.numbers("image", np.int32)
    for piece in pieces(len(of)):
        places = lookup.places(of[piece])
        if (places < 0).any():
            raise DataError(
                f"{source}: a caption is of image_id {int(of[piece][places < 0][0])}, which no image has. Add the "
                "image, or drop the caption."
            )
        image.add(places)


def _refuse_two_pictures(lookup: Lookup, image_ids: np.ndarray, columns: Columns, source: str) -> None:
    """Refuse an image id that names two files: captions of the second would be trained on the first."""
    again = lookup.repeated()
    if not len(again):
        return
    joined, ends = columns.read("path"), columns.read("path_ends")
    for place, first in zip(again.tolist(), lookup.places(image_ids[again]).tolist(), strict=True):
        one, other = entry_of(joined, ends, place), entry_of(joined, ends, first)
        if one != other:
            raise DataError(
                f"{source}: images[{place}]: id {int(image_ids[place])} of {one} is that of {other}. Give each its own "
                "id; `bus-toolkit verify` lists all."
            )


def _path(url: object, source: str) -> str:
    """Return the part of an address that ``COCORetrieval`` reads below its folder: the last two names."""
    if not isinstance(url, str):
        raise DataError(f"{source}: coco_url must be a text, got {str(url)[:80]!r}. Correct it.")
    return "/".join(url.rsplit("/", 2)[-2:])
