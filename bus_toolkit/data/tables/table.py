"""A table: a folder of ``.npy`` files, each a column, and ``meta.json``, which says what they were made from.

The columns are mapped into memory: all processes of a machine that read a table share one copy, in the page cache, and
what nobody reads takes no memory. Any program that has NumPy reads them. (Arrow's files serve as well, and need a
library more; what a damaged one does to a process can only be known after reading all of it.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.tables.columns import entry_of, mapped, pieces
from bus_toolkit.errors import DataError

META = "meta.json"
_META_BYTES = 1 << 20


class DamagedTable(Exception):
    """A table that cannot be used: it is made again."""


@dataclass(frozen=True)
class Form:
    """What the columns of a kind of table must be.

    Attributes:
        kind: Name of the kind; part of the name of the folder.
        version: Part of the table: raise it when the same files give another one, and old tables are made again.
        numbers: Column to type, and numbers of a row (``None``: no dimension of its own).
        texts: Columns of texts.
    """

    kind: str
    version: int
    numbers: Mapping[str, tuple[type[np.generic], int | None]]
    texts: tuple[str, ...] = ()


class Table:
    """The columns of a folder, mapped; a pickled copy maps them again.

    Args:
        folder: Of the table.
        form: What must be there.

    Attributes:
        meta: What ``meta.json`` holds.

    Raises:
        FileNotFoundError: There is none.
        DamagedTable: It has another form, or its parts do not fit together.
    """

    def __init__(self, folder: Path, form: Form) -> None:
        self.folder, self.form = folder, form
        try:
            self._open()
        except FileNotFoundError:
            raise
        except Exception as error:  # damaged bytes make NumPy raise nearly anything
            raise DamagedTable(str(error) or type(error).__name__) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled for a worker: the place, not the columns."""
        return {"folder": self.folder, "form": self.form, "meta": self.meta}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Map the columns again; they were examined before.

        Raises:
            DataError: They are those of another table by now: the rows of a sampler would be other samples.
        """
        self.folder, self.form = state["folder"], state["form"]
        try:
            self._map()
            self.meta = self._read_meta()  # last: the folder may be exchanged meanwhile
        except (OSError, ValueError) as error:
            raise self.damaged(str(error)) from error
        if self.meta != state["meta"]:
            raise DataError(
                f"{self.folder}: the table was made again while this run reads it, of files that have changed. "
                "Start the run again."
            )

    def __getitem__(self, column: str) -> np.ndarray:
        """Return a column."""
        return self._columns[column]

    def text(self, column: str, row: int) -> Any:
        """Return an entry of a column of texts; what is no text is returned as it was in the file.

        Raises:
            DataError: Its bytes are no text.
        """
        try:
            return entry_of(self._columns[column], self._columns[f"{column}_ends"], row)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"{column} of row {row} is no text") from error

    def damaged(self, reason: str) -> DataError:
        """Return the error for what only shows when a row is read."""
        return DataError(f"{self.folder}: the table is damaged: {reason}. Remove this folder and start again.")

    def _open(self) -> None:
        self.meta = self._read_meta()
        if not isinstance(self.meta, dict) or self.meta.get("version") != self.form.version:
            raise ValueError(f"{META} is not of version {self.form.version}")
        self._map()
        for name, (kind, width) in self.form.numbers.items():
            shape = self._columns[name].shape[1:]
            if self._columns[name].dtype != kind or shape != (() if width is None else (width,)):
                raise ValueError(f"{name} has rows {self._columns[name].dtype} {shape}")
        for name in self.form.texts:
            self._check_texts(self._columns[name], self._columns[f"{name}_ends"], name)

    def _read_meta(self) -> Any:
        with open(self.folder / META, "rb") as file:
            content = file.read(_META_BYTES + 1)
        return json.loads(content) if len(content) <= _META_BYTES else {}

    def _check_texts(self, joined: np.ndarray, ends: np.ndarray, name: str) -> None:
        if joined.dtype != np.uint8 or ends.dtype != np.int64 or joined.ndim != 1 or ends.ndim != 1:
            raise ValueError(f"{name} holds no texts")
        check_ends(ends, len(joined), name)

    def _map(self) -> None:
        names = [*self.form.numbers, *self.form.texts, *(f"{name}_ends" for name in self.form.texts)]
        self._columns = {name: mapped(self.folder / f"{name}.npy") for name in names}


def check_ends(ends: np.ndarray, total: int, name: str) -> None:
    """Check that each entry ends where the next one begins, and the last one at the end.

    Raises:
        ValueError: They do not.
    """
    last = 0
    for part in map(ends.__getitem__, pieces(len(ends))):  # what is compared takes no memory to speak of
        if int(part[0]) < last or bool((part[1:] < part[:-1]).any()):
            raise ValueError(f"{name}_ends does not ascend")
        last = int(part[-1])
    if last != total:
        raise ValueError(f"{name} has {total} entries, {name}_ends leads to {last}")


def check_range(column: np.ndarray, low: int, high: int, name: str) -> None:
    """Check that all numbers of a column are from ``low`` to below ``high``.

    Raises:
        ValueError: They are not.
    """
    for part in map(column.__getitem__, pieces(len(column))):
        if int(part.min()) < low or int(part.max()) >= high:
            raise ValueError(f"{name} must be from {low} below {high}")
