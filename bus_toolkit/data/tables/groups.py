"""What belongs to an image, next to each other: rows of a table sorted by the image that they are of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bus_toolkit.data.tables.captions import CaptionTable
from bus_toolkit.data.tables.columns import Columns, pieces
from bus_toolkit.data.tables.joining import Lookup
from bus_toolkit.data.tables.table import Table, check_ends, check_range


def write_groups(captions: CaptionTable, columns: Columns, names: Sequence[str]) -> np.ndarray:
    """Sort columns by image, and write where the rows of each image of the captions are.

    Written are ``group``, for each image of the captions the number of its group or -1; ``ends``, where each group
    ends; and the sorted columns. Rows of one image keep their order. The unsorted columns are removed.

    Args:
        captions: The captions.
        columns: Those of the table that is made; ``raw_image`` has the image id of each row, int64.
        names: Those to sort, as they are called then; before, ``raw_`` is put before the name. Texts are none.

    Returns:
        The ids of the images that have rows, ascending; int64.
    """
    ids = columns.read("raw_image")
    order = np.argsort(ids, kind="stable")
    images, starts = np.unique(ids[order], return_index=True)
    columns.numbers("ends", np.int64).add(np.append(starts[1:], len(ids)) if len(ids) else ())
    group = columns.numbers("group", np.int32)
    lookup = Lookup(images)
    for piece in pieces(len(captions.image_ids)):
        group.add(lookup.places(captions.image_ids[piece]))
    for name in names:
        values = columns.read(f"raw_{name}")
        column = columns.numbers(name, values.dtype.type, *values.shape[1:])
        for piece in pieces(len(order)):
            column.add(values[order[piece]])
    columns.drop("raw_image", *(f"raw_{name}" for name in names))
    return images


def check_groups(table: Table, images: int, rows: int) -> None:
    """Check that each image has a group or none, and that the groups are the rows.

    Raises:
        ValueError: They are not.
    """
    if len(table["group"]) != images:
        raise ValueError("groups and images have different numbers of rows")
    check_range(table["group"], -1, len(table["ends"]), "group")
    check_ends(table["ends"], rows, "image")
