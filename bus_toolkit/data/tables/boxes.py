"""The boxes of the images of a table of captions, and which of them each caption names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.coco_boxes import Instances, box_sides, check_sides, instance_id, stated_sizes
from bus_toolkit.data.annotations.joins import one_form, report_join
from bus_toolkit.data.tables.captions import CaptionTable, refuse_repeated_captions
from bus_toolkit.data.tables.columns import Columns, pieces, within
from bus_toolkit.data.tables.groups import check_groups, write_groups
from bus_toolkit.data.tables.joining import Lookup, whole_numbers
from bus_toolkit.data.tables.json_stream import list_sections, mapping_entries
from bus_toolkit.data.tables.ready import Recipe, ready_table
from bus_toolkit.data.tables.table import Form, check_ends, check_range
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import once

_FORM = Form(
    "boxes",
    1,
    {
        **{"group": (np.int32, None), "ends": (np.int64, None), "box": (np.float32, 4), "instance": (np.int64, None)},
        **{"size": (np.int64, 2), "crowd": (np.int64, None)},
        **{"region": (np.int32, None), "region_ends": (np.int64, None), "named": (np.int64, None)},
        "boxed": (np.int64, None),
    },
)
_UNSTATED = -1


class BoxTable:
    """COCO instances and regions, joined with a table of captions.

    Args:
        captions: The captions.
        instances_file: COCO instances.
        regions_file: JSON, caption id to the ids of the instances that it names.
        table_dir: Folder of tables.
        name: The data set, for messages.

    Raises:
        DataError: A file cannot be read or has another form, its ids are none of the captions', or no whole numbers, or
            two captions have one id.
    """

    def __init__(
        self, captions: CaptionTable, instances_file: Path, regions_file: Path, table_dir: str, name: str
    ) -> None:
        settings = (f"{name}.regions_file", f"{name}.instances_file")

        def make(columns: Columns) -> None:
            own = Lookup(captions.caption_ids)
            refuse_repeated_captions(captions, own)
            _add_instances(captions, instances_file, settings[1], columns)
            _add_regions(captions, own, regions_file, settings[0], columns)
            _add_boxed_rows(captions, columns)

        sources = {**captions.sources, settings[0]: regions_file, settings[1]: instances_file}
        self.table = ready_table(Recipe(_FORM, sources, make), table_dir, f"{name}.table_dir")
        self._check(captions)

    @property
    def boxed(self) -> np.ndarray:
        """Rows of captions whose image has boxes and that are in the file of regions, ascending; int64."""
        return self.table["boxed"]

    def has(self, row: int, image: int) -> bool:
        """Return whether a caption has boxes of its image.

        Args:
            row: Of the caption.
            image: Row of its image.
        """
        return bool(self.table["group"][image] >= 0 and self.table["region"][row] >= 0)

    def attach(self, sample: dict[str, Any], row: int, image: int) -> None:
        """Give a sample its boxes, which of them its text names, and the stated size of its image.

        Raises:
            BadSample: The text names an instance that the image does not have.
        """
        table = self.table
        group = int(table["group"][image])
        of = within(table["ends"], group)
        wanted = table["named"][within(table["region_ends"], int(table["region"][row]))].tolist()
        crowds = frozenset(one for one in wanted if self._is_crowd(one))
        size = tuple(table["size"][group].tolist())
        # The rules are those of the files.
        held = Instances({0: (table["box"][of], table["instance"][of])}, {0: size} if size[0] >= 0 else {}, crowds)
        held.attach(sample, 0, wanted)

    def _is_crowd(self, instance: int) -> bool:
        crowds = self.table["crowd"]
        place = int(np.searchsorted(crowds, instance))
        return place < len(crowds) and int(crowds[place]) == instance

    def _check(self, captions: CaptionTable) -> None:
        table = self.table
        try:
            if len(table["region"]) != len(captions) or len(table["instance"]) != len(table["box"]):
                raise ValueError("its columns have different numbers of rows")
            if len(table["size"]) != len(table["ends"]):
                raise ValueError("sizes and images have different numbers of rows")
            check_groups(table, len(captions.image_ids), len(table["box"]))
            check_range(table["region"], -1, len(table["region_ends"]), "region")
            check_ends(table["region_ends"], len(table["named"]), "region")
            check_range(table["boxed"], 0, len(captions), "boxed")
        except ValueError as error:
            raise table.damaged(str(error)) from error


def _add_instances(captions: CaptionTable, file: Path, location: str, columns: Columns) -> None:
    source = f"{location}: {file}"
    parts = {name: columns.numbers(f"raw_{name}", np.int64) for name in ("image", "instance")}
    boxes, crowds = columns.numbers("raw_box", np.float32, 4), [np.zeros(0, np.int64)]
    sizes: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    try:
        for key, entries in list_sections(file, ("annotations",), location, once, also=("images",)):
            if key == "images":
                sizes.append(_sizes(entries, source))
                continue
            ids = np.array([instance_id(item["id"]) for item in entries], dtype=np.int64)
            is_crowd = np.array([bool(one_form(item.get("iscrowd"))) for item in entries], dtype=bool)
            crowds.append(ids[is_crowd])
            kept = [item for item, left_out in zip(entries, is_crowd, strict=True) if not left_out]
            if kept:
                parts["instance"].add(ids[~is_crowd])
                parts["image"].add(whole_numbers([item["image_id"] for item in kept], f"{source}: annotations"))
                boxes.add(_corners(kept, source))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(
            f"{source} does not hold COCO instances ({type(error).__name__}: {error}). "
            "Each annotation needs id, image_id and bbox [x, y, width, height]."
        ) from error
    crowd = np.sort(np.concatenate(crowds))
    columns.numbers("crowd", np.int64).add(crowd)
    _refuse_twice(np.concatenate([columns.read("raw_instance"), crowd]), source)
    found = write_groups(captions, columns, ("box", "instance"))
    _write_sizes(found, np.concatenate(sizes), columns)
    report_join(found, captions.used_ids(), location=source, kind="images")


def _corners(items: list[Mapping[str, Any]], source: str) -> np.ndarray:
    """Return boxes (n, 4) as corners; float32 from left, top, width and height in float32, as without a table."""
    boxes = np.array([box_sides(item) for item in items], dtype=np.float32)
    check_sides(boxes, [f"instance {item['id']} of image {item['image_id']}" for item in items], source)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _sizes(entries: list[Mapping[str, Any]], source: str) -> np.ndarray:
    """Return image id, width and height of the images for which the file states both, (n, 3)."""
    stated = stated_sizes({"images": entries})
    ids = whole_numbers(list(stated), f"{source}: images")
    sides = np.array(list(stated.values()), dtype=np.int64).reshape(-1, 2)
    return np.column_stack([ids, sides])


def _write_sizes(images: np.ndarray, stated: np.ndarray, columns: Columns) -> None:
    # Of an image that is there twice the last size counts, as without a table.
    places = Lookup(stated[::-1, 0]).places(images)
    sizes = np.full((len(images), 2), _UNSTATED, dtype=np.int64)
    sizes[places >= 0] = stated[::-1][places[places >= 0], 1:]
    columns.numbers("size", np.int64, 2).add(sizes)


def _refuse_twice(ids: np.ndarray, source: str) -> None:
    ids.sort()
    again = ids[1:][ids[1:] == ids[:-1]]
    if len(again):
        raise DataError(
            f"{source}: instance id {again[0]} is used twice, so a caption that names it names two objects. Give each "
            "its own id."
        )


def _add_regions(captions: CaptionTable, own: Lookup, file: Path, location: str, columns: Columns) -> None:
    source = f"{location}: {file}"
    ends, named = columns.numbers("region_ends", np.int64), columns.numbers("named", np.int64)
    keys = [np.zeros(0, np.int64)]
    for entries in mapping_entries(file, location):
        try:
            wanted = [[instance_id(one) for one in listed] for listed in entries.values()]
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(
                f"{source} does not hold regions ({type(error).__name__}: {error}). "
                'It needs {"<caption id>": [<instance id>, ...], ...}.'
            ) from error
        keys.append(whole_numbers(list(entries), source))
        ends.add(np.cumsum([len(one) for one in wanted], dtype=np.int64) + named.rows)
        named.add([one for listed in wanted for one in listed])
    ids = np.concatenate(keys)
    lookup = Lookup(ids)
    if len(again := lookup.repeated()):
        raise DataError(f"{source}: caption id {ids[again[0]]} occurs twice. Remove one of the entries.")
    region = columns.numbers("region", np.int32)
    for piece in pieces(len(captions)):
        region.add(lookup.places(captions.caption_ids[piece]))
    report_join(lookup.sorted, own.sorted, location=source, kind="texts")


def _add_boxed_rows(captions: CaptionTable, columns: Columns) -> None:
    group, region = columns.read("group"), columns.read("region")
    boxed = columns.numbers("boxed", np.int64)
    for piece in pieces(len(captions)):
        has_both = (region[piece] >= 0) & (group[captions.images[piece]] >= 0)
        boxed.add(np.flatnonzero(has_both) + piece.start)
