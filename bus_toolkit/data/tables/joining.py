"""Values of JSON entries as arrays, and ids by which tables are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.errors import DataError

_LOW, _HIGH = -(1 << 63), 1 << 63


def values(entries: Sequence[Any], key: str, place: str) -> list[Any]:
    """Return what each of several mappings has under a key.

    Args:
        entries: What should be mappings with that key.
        key: The key.
        place: File and list, for messages.

    Raises:
        DataError: One has not.
    """
    try:
        return [entry[key] for entry in entries]
    except (KeyError, TypeError, IndexError):
        wrong = next(entry for entry in entries if not (isinstance(entry, dict) and key in entry))
        raise DataError(f"{place}: an entry has no {key}, got {str(wrong)[:80]!r}. Add it.") from None


def whole_numbers(ids: Sequence[Any], place: str) -> np.ndarray:
    """Return ids as int64; "7" and 7.0 are 7, as wherever files are joined.

    Raises:
        DataError: One is no whole number that fits.
    """
    array = np.array(ids) if set(map(type, ids)) == {int} else None
    if array is not None and array.dtype == np.int64:
        return array
    numbers = [one_form(one) for one in ids]
    for one in numbers:
        if type(one) is not int or not _LOW <= one < _HIGH:
            raise DataError(
                f"{place}: in a table ids are whole numbers below 2^63, got {str(one)[:80]!r}. Renumber them, or leave "
                "table_dir out."
            )
    return np.array(numbers, dtype=np.int64)


class Lookup:
    """The place of each of many ids; of an id that is there twice the first one.

    Args:
        ids: int64 (n,). 16 bytes each are held.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self._order = np.argsort(ids, kind="stable")
        self.sorted = ids[self._order]

    def places(self, wanted: np.ndarray) -> np.ndarray:
        """Return the place of each wanted id, -1 where it is none of them; int64."""
        if not len(self.sorted):
            return np.full(len(wanted), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.sorted, wanted), len(self.sorted) - 1)
        return np.where(self.sorted[found] == wanted, self._order[found], -1)

    def repeated(self) -> np.ndarray:
        """Return the places of ids that are there before, ascending."""
        again = np.flatnonzero(self.sorted[1:] == self.sorted[:-1]) + 1
        return np.sort(self._order[again])
