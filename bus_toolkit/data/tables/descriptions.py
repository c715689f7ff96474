"""Descriptions of regions as a table: texts of the images of a table of captions, with the boxes that each fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.class_phrases import CLASS_TEMPLATE, describe_instances
from bus_toolkit.data.annotations.coco_boxes import add_descriptions, refuse_descriptions, refuse_template
from bus_toolkit.data.annotations.joins import report_join
from bus_toolkit.data.tables.captions import CaptionTable
from bus_toolkit.data.tables.columns import Columns, pieces, within
from bus_toolkit.data.tables.groups import check_groups, write_groups
from bus_toolkit.data.tables.joining import whole_numbers
from bus_toolkit.data.tables.json_stream import begins_with, list_entries, list_sections
from bus_toolkit.data.tables.ready import Recipe, ready_table
from bus_toolkit.data.tables.table import Form, check_range
from bus_toolkit.json_text import once

_FORM = Form(
    "descriptions",
    1,
    {
        **{"group": (np.int32, None), "ends": (np.int64, None), "box": (np.float32, 4), "place": (np.int64, None)},
        "boxed": (np.int64, None),
    },
    texts=("phrase",),
)
_Grouped = dict[Any, dict[str, list[list[float]]]]


class DescriptionTable:
    """Visual Genome's region descriptions, or the classes of COCO instances, joined with a table of captions.

    Args:
        captions: The captions.
        file: As ``RegionCaptionDataset.descriptions_file``.
        class_template: As there.
        table_dir: Folder of tables.
        name: The data set, for messages.

    Raises:
        DataError: As :func:`bus_toolkit.data.annotations.coco_boxes.read_descriptions`; or ids that are no whole
            numbers, or none of the captions' images.
    """

    def __init__(
        self, captions: CaptionTable, file: Path, class_template: str | None, table_dir: str, name: str
    ) -> None:
        def make(columns: Columns) -> None:
            _make(captions, file, class_template, f"{name}.descriptions_file", columns)

        recipe = Recipe(
            _FORM, {**captions.sources, f"{name}.descriptions_file": file}, make, {"class_template": class_template}
        )
        self.table = ready_table(recipe, table_dir, f"{name}.table_dir")
        self._check(captions)

    @property
    def boxed(self) -> np.ndarray:
        """Rows of captions whose image has descriptions, ascending; int64."""
        return self.table["boxed"]

    def of(self, image: int) -> dict[str, np.ndarray]:
        """Return the descriptions of an image by its row, each with its boxes float32 (n, 4); none without any."""
        group = int(self.table["group"][image])
        if group < 0:
            return {}
        rows = within(self.table["ends"], group)
        found: dict[str, list[np.ndarray]] = {}
        for place, box in zip(self.table["place"][rows].tolist(), self.table["box"][rows], strict=True):
            found.setdefault(self.table.text("phrase", place), []).append(box)
        return {text: np.stack(boxes) for text, boxes in found.items()}

    def _check(self, captions: CaptionTable) -> None:
        table = self.table
        try:
            if len(table["place"]) != len(table["box"]):
                raise ValueError("its columns have different numbers of rows")
            check_groups(table, len(captions.image_ids), len(table["box"]))
            check_range(table["place"], 0, len(table["phrase_ends"]), "place")
            check_range(table["boxed"], 0, len(captions), "boxed")
        except ValueError as error:
            raise table.damaged(str(error)) from error


def _make(captions: CaptionTable, file: Path, template: str | None, location: str, columns: Columns) -> None:
    source = f"{location}: {file}"
    image, box = columns.numbers("raw_image", np.int64), columns.numbers("raw_box", np.float32, 4)
    place, phrase = columns.numbers("raw_place", np.int64), columns.texts("phrase")
    for grouped in _pieces(file, template, location):
        ids = whole_numbers(list(grouped), source)
        rows = [
            (number, text, corners)
            for number, texts in zip(ids.tolist(), grouped.values(), strict=True)
            for text, boxes in texts.items()
            for corners in boxes
        ]
        image.add([number for number, _, _ in rows])
        place.add(np.arange(place.rows, place.rows + len(rows)))
        phrase.add([text for _, text, _ in rows])
        box.add([corners for _, _, corners in rows])
    found = write_groups(captions, columns, ("box", "place"))
    report_join(found, captions.used_ids(), location=source, kind="images")
    group = columns.read("group")
    boxed = columns.numbers("boxed", np.int64)
    for piece in pieces(len(captions)):
        boxed.add(np.flatnonzero(group[captions.images[piece]] >= 0) + piece.start)


def _pieces(file: Path, template: str | None, location: str) -> Iterator[_Grouped]:
    """Yield the descriptions of some images after the other; an image may come again."""
    source = f"{location}: {file}"
    if begins_with("{", file, location):
        categories = [one for _, several in list_sections(file, ("categories",), location, once) for one in several]
        count = 0
        for _, entries in list_sections(file, ("annotations",), location, once):
            content = {"categories": categories, "annotations": entries}
            yield describe_instances(content, template or CLASS_TEMPLATE, source, first=count)
            count += len(entries)
        return
    refuse_template(template, file, location)
    for entries in list_entries(file, location, once):
        grouped: _Grouped = {}
        with refuse_descriptions(source):
            add_descriptions(grouped, entries)
        yield grouped
