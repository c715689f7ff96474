"""Columns of a table, written as they come: ``.npy`` files that grow row by row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

OTHER = b"\xff"
"""Before an entry that is no text: no text in UTF-8 begins so. Its JSON follows."""


class Column:
    """A ``.npy`` file of rows that are appended.

    Args:
        folder: Where it is.
        name: Without suffix.
        kind: Of its numbers.
        width: Numbers of a row; ``None`` for one without a dimension of its own.
    """

    def __init__(self, folder: Path, name: str, kind: type[np.generic], width: int | None = None) -> None:
        self._file = open(folder / f"{name}.npy", "wb")
        self._kind = np.dtype(kind)
        self._row = () if width is None else (width,)
        self.rows = 0
        self._write_header()

    def add(self, rows: Any) -> None:
        """Append rows."""
        array = np.asarray(rows, dtype=self._kind).reshape(-1, *self._row)
        self._file.write(np.ascontiguousarray(array).data if array.size else b"")
        self.rows += len(array)

    def flush(self) -> None:
        """Write how many rows there are, so that the file can be read; NumPy leaves room for that in its header."""
        self._file.seek(0)
        self._write_header()
        self._file.seek(0, os.SEEK_END)
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": self._kind.str, "fortran_order": False, "shape": (self.rows, *self._row)}
        np.lib.format.write_array_header_1_0(self._file, header)


class TextColumn:
    """Texts, joined as UTF-8 in ``<name>.npy``; ``<name>_ends.npy`` says where each ends.

    Half characters (lone surrogates) are kept, and so is what is no text at all: samples with it are bad ones, which
    the reader reports where they are met.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._bytes, self._ends = Column(folder, name, np.uint8), Column(folder, f"{name}_ends", np.int64)

    def add(self, texts: Sequence[Any]) -> None:
        """Append texts."""
        encoded = [_encoded(text) for text in texts]
        ends = np.cumsum([len(one) for one in encoded], dtype=np.int64) + self._bytes.rows
        self._bytes.add(np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._ends.add(ends)

    def flush(self) -> None:
        """Let both files be read."""
        self._bytes.flush()
        self._ends.flush()

    def close(self) -> None:
        """Finish both files."""
        self._bytes.close()
        self._ends.close()


class Columns:
    """The columns of a table that is being written; closed at the end of a ``with`` block.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Column | TextColumn] = []

    def __enter__(self) -> Columns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for column in self._all:
            column.close()

    def numbers(self, name: str, kind: type[np.generic], width: int | None = None) -> Column:
        """Return a new column of numbers."""
        column = Column(self._folder, name, kind, width)
        self._all.append(column)
        return column

    def read(self, name: str) -> np.ndarray:
        """Return the rows of a column of this table so far, mapped into memory."""
        for column in self._all:
            column.flush()
        return mapped(self._folder / f"{name}.npy")

    def drop(self, *names: str) -> None:
        """Remove columns that only the making needed."""
        for name in names:
            (self._folder / f"{name}.npy").unlink()

    def texts(self, name: str) -> TextColumn:
        """Return a new column of texts."""
        column = TextColumn(self._folder, name)
        self._all.append(column)
        return column


def mapped(file: Path) -> np.ndarray:
    """Return the array of a ``.npy`` file, mapped into memory."""
    try:
        # A plain array: a memmap would make one of every slice, which costs more than the reading.
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except ValueError:
        if file.stat().st_size > 1 << 12:
            raise
        return np.load(file, allow_pickle=False)  # an array without rows cannot be mapped


def entry_of(joined: np.ndarray, ends: np.ndarray, row: int) -> Any:
    """Return an entry of a column of texts; what is no text is returned as it was in the file.

    Raises:
        ValueError: Bytes that :class:`TextColumn` does not write.
        RecursionError: The same.
    """
    return decoded(joined[within(ends, row)].tobytes())


def within(ends: np.ndarray, place: int) -> slice:
    """Return the rows of an entry, by its place, where each entry ends."""
    return slice(int(ends[place - 1]) if place else 0, int(ends[place]))


def pieces(count: int, size: int = 1 << 20) -> list[slice]:
    """Return slices that cover so many rows: what works on one after the other takes little memory."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def decoded(content: bytes) -> Any:
    """Return what was appended to a column of texts.

    Raises:
        ValueError: Bytes that :class:`TextColumn` does not write.
    """
    return json.loads(content[1:]) if content.startswith(OTHER) else content.decode("utf-8", "surrogatepass")


def _encoded(text: Any) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else OTHER + json.dumps(text).encode()
