"""Image ids of any form as the numbers that losses compare: rows of one number show the same image."""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

from torch import Tensor

DATA_ROW = "data_row"
"""The field of a data sample with the number of its row in the data of a training, by which one without id is known."""
EMPTY = -1
"""An empty place in a queue."""
UNKNOWN = -2
"""A place in a queue whose image has no id: it shows the same image as nothing else."""
_FIRST_WITHOUT_ID = -3
_PLAIN = 1 << 62
_FIRST_OF_DATA = -_PLAIN


def id_number(image_id: Any, row: int, data_row: int | None = None) -> int:
    """Return an image id as a number that fits int64.

    Whole numbers from 0 below 2^62 stay. Other ids, such as words, negative and larger numbers, become 62 bits of their
    hash, with 2^62 added, so that they meet none of those: of a thousand million images two share a number with a
    probability of 10 %. 7 and "7" are two ids.

    Args:
        image_id: Of a data sample; ``None`` for an image without one.
        row: Number of its row in the batch of all ranks. An image without id and ``data_row`` gets a number below
            ``UNKNOWN`` that follows from it, and so means something within this batch alone.
        data_row: Number of its row in the data. An image without id gets a number of -2^62 or less that follows from
            it: the same in each step and epoch and on each rank, and that of no other row.
    """
    if image_id is None:
        return _FIRST_WITHOUT_ID - row if data_row is None else _FIRST_OF_DATA - data_row
    value = image_id.item() if isinstance(image_id, Tensor) and image_id.numel() == 1 else image_id
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as pandas writes ids of a column with gaps
    is_number = isinstance(value, Integral)
    if is_number and 0 <= value < _PLAIN:
        return int(value)
    digest = hashlib.blake2b(f"{'number' if is_number else 'text'} {value}".encode("utf-8", "surrogatepass"))
    return _PLAIN + (int.from_bytes(digest.digest()[:8], "little") >> 2)


def lasting_ids(ids: Tensor) -> Tensor:
    """Return ids without those that mean something within their own batch alone: ``UNKNOWN`` is in their place."""
    return ids.masked_fill((ids < UNKNOWN) & (ids > _FIRST_OF_DATA), UNKNOWN)
