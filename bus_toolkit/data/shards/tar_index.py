"""Where each sample of a shard lies: read from the tar once, kept in a small file beside it.

A shard is a tar in webdataset's format (https://github.com/webdataset/webdataset): members whose names are equal up to
the first dot of the file name are one sample, and what follows is their kind. Read are images (``jpg jpeg png webp``),
``txt`` (the caption) and ``json`` (see ``annotation.py``); other kinds are passed over. webdataset wants the members of
a sample side by side; here they may lie anywhere in the shard.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bus_toolkit.data.shards.tar_members import Member, read_members
from bus_toolkit.errors import DataError, Problem

IMAGE_KINDS = ("jpg", "jpeg", "png", "webp")
_PARTS = {**dict.fromkeys(IMAGE_KINDS, "image"), "txt": "text", "json": "json"}
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
_NONE = (-1, 0)


@dataclass(frozen=True)
class Stamp:
    """Size in bytes and time of the last change in ns: they reveal that a shard was replaced under its name."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, file: BinaryIO) -> Stamp:
        """Return the stamp of an open file."""
        stat = os.fstat(file.fileno())
        return cls(stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class TarIndex:
    """The n samples of a shard in the order of their images.

    Attributes:
        stamp: Of the shard when it was read.
        names: Image members' names, UTF-8, joined; uint8.
        name_ends: Where each name ends in ``names``; int64 (n,).
        image: Offset and size in bytes; int64 (n, 2).
        text: The same of ``txt`` members; offset -1 where there is none.
        json: The same of ``json`` members.
        boxed: Which samples have boxes; bool (n,).
        left_out: Name and reason of each member that belongs to no sample.
    """

    stamp: Stamp
    names: np.ndarray
    name_ends: np.ndarray
    image: np.ndarray
    text: np.ndarray
    json: np.ndarray
    boxed: np.ndarray
    left_out: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.name_ends)

    def name(self, row: int) -> str:
        """Return the name of the image member of a sample."""
        start = self.name_ends[row - 1] if row else 0
        return self.names[start : self.name_ends[row]].tobytes().decode("utf-8", "surrogateescape")


def read_index(path: Path) -> TarIndex:
    """Index a shard from its headers and its JSON members, which say whether a sample has boxes.

    Raises:
        DataError: The shard cannot be read, or is not one whole uncompressed tar.
    """
    try:
        with open(path, "rb") as file:
            stamp = Stamp.of(file)
            samples, left_out = _group(read_members(file, path))
            boxed = [_has_boxes(file, sample.get("json")) for sample in samples]
    except OSError as error:
        raise DataError(Problem(str(path), f"the shard cannot be read: {error.strerror}. Copy it again.")) from error
    names = [sample["image"].name.encode("utf-8", "surrogateescape") for sample in samples]
    return TarIndex(
        stamp,
        np.frombuffer(b"".join(names), dtype=np.uint8),
        np.cumsum([len(name) for name in names], dtype=np.int64),
        image=_places(samples, "image"),
        text=_places(samples, "text"),
        json=_places(samples, "json"),
        boxed=np.array(boxed, dtype=bool),
        left_out=tuple(left_out),
    )


def _group(members: Iterable[Member]) -> tuple[list[dict[str, Member]], list[tuple[str, str]]]:
    """Return the whole samples, part to member, and the members left out; of two for one part the first stays."""
    by_key: dict[str, dict[str, Member]] = {}
    left_out: list[tuple[str, str]] = []
    for member in members:
        match = _NAME.fullmatch(member.name)
        part = _PARTS.get(match.group(2).lower()) if match else None
        if match is None or part is None:
            continue
        parts = by_key.setdefault(match.group(1), {})
        if part in parts:
            left_out.append((member.name, f"a second {part} of key {match.group(1)!r}"))
        parts.setdefault(part, member)
    for key, parts in by_key.items():
        if "image" not in parts:
            left_out.extend((member.name, f"no image of key {key!r}") for member in parts.values())
        elif len(parts) == 1:
            left_out.append((parts["image"].name, f"no txt or json of key {key!r}"))
    whole = [parts for parts in by_key.values() if "image" in parts and len(parts) > 1]
    return sorted(whole, key=lambda parts: parts["image"].offset), left_out


def _has_boxes(file: BinaryIO, member: Member | None) -> bool:
    if member is None:
        return False
    try:
        content = json.loads(os.pread(file.fileno(), member.size, member.offset))
    except (ValueError, RecursionError):
        return False  # Reported when the sample is read, where bad samples are counted.
    return isinstance(content, dict) and bool(content.get("boxes"))


def _places(samples: list[dict[str, Member]], part: str) -> np.ndarray:
    # Offset and size of each member, (samples, 2); [1:] leaves out its name.
    places = [sample[part][1:] if part in sample else _NONE for sample in samples]
    return np.array(places, dtype=np.int64).reshape(-1, 2)
