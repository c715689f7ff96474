"""What is in an index file: arrays of numbers that lead into a shard, checked before any of them is used."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any
from zipfile import ZipFile

import numpy as np

from bus_toolkit.data.shards.tar_index import Stamp, TarIndex

# Part of the file: raise it when the same shard gives another index, and old files are made again.
_VERSION = 3
_PLACES = ("image", "text", "json")
_KINDS = {"names": np.uint8, "name_ends": np.int64, **dict.fromkeys(_PLACES, np.int64), "boxed": np.bool_}
_ARRAYS = tuple(_KINDS)
_OVERHEAD = 1 << 16  # headers of the arrays, and the reasons of members that are left out


def pack(index: TarIndex) -> dict[str, Any]:
    """Return an index as the arrays of its file."""
    meta = {
        "version": _VERSION,
        "stamp": asdict(index.stamp),
        "left_out": list(index.left_out),
        "passed_over": dict(index.passed_over),
    }
    arrays: dict[str, Any] = {name: getattr(index, name) for name in _ARRAYS}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    return arrays


class DamagedIndex(Exception):
    """An index file that cannot be used: it is made again."""


def read_content(file: Path, stamp: Stamp) -> TarIndex:
    """Read an index file of a shard with that stamp, or of another one.

    Raises:
        FileNotFoundError: There is none.
        DamagedIndex: Any kind of damage.
    """
    try:
        with ZipFile(file) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
        # A sample has two headers of 512 bytes in its tar, far more than a row of the index.
        if claimed > stamp.size + _OVERHEAD:
            raise ValueError(f"it unpacks to {claimed} bytes, more than its shard has")
        with np.load(file, allow_pickle=False) as content:
            meta = json.loads(content["meta"].tobytes())
            arrays = {name: content[name] for name in _ARRAYS}
        if meta["version"] != _VERSION:
            raise ValueError(f"version {meta['version']}, not {_VERSION}")
        index = TarIndex(
            Stamp(**meta["stamp"]),
            **arrays,
            left_out=tuple((str(member), str(reason)) for member, reason in meta["left_out"]),
            passed_over=Counter({str(kind): int(count) for kind, count in meta["passed_over"].items()}),
        )
        if index.stamp == stamp and not _fits_together(index):
            raise ValueError("its parts do not fit together")
        return index
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes make zlib, zipfile and NumPy raise nearly anything
        raise DamagedIndex(str(error) or type(error).__name__) from error


def _fits_together(index: TarIndex) -> bool:
    """Return whether every number of an index leads into its shard."""
    count = len(index)
    shapes = {"name_ends": (count,), "image": (count, 2), "text": (count, 2), "json": (count, 2), "boxed": (count,)}
    if any(getattr(index, name).shape != shape for name, shape in shapes.items()) or index.names.ndim != 1:
        return False
    if any(getattr(index, name).dtype != kind for name, kind in _KINDS.items()):
        return False
    ends = np.concatenate([[0], index.name_ends])
    whole_names = bool((np.diff(ends) > 0).all()) and ends[-1] == len(index.names)
    return whole_names and all(_leads_inside(getattr(index, name), index.stamp.size) for name in _PLACES)


def _leads_inside(places: np.ndarray, size: int) -> bool:
    """Return whether each offset comes after a header, and each member ends in the file; -1 means no member."""
    offset, length = places[:, 0], places[:, 1]
    there = offset >= BLOCKSIZE
    inside = (length >= 0) & (offset <= size) & (length <= size - np.minimum(offset, size))
    return bool(np.where(there, inside, (offset == -1) & (length == 0)).all())
