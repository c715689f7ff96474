"""Where each sample of a shard lies: read from the tar once, kept in a small file beside it.

A shard is a tar in webdataset's format (https://github.com/webdataset/webdataset): members whose names are equal up to
the first dot of the file name are one sample, and what follows is their kind. Read are images (``jpg jpeg png webp``),
``txt`` (the caption) and ``json`` (see ``annotation.py``). webdataset wants the members of a sample side by side; here
they may lie anywhere in the shard.

Every other member is counted: by its kind (``cls``, ``seg.png``), or by name and reason if it looks like a part of a
sample that is none, such as ``trip 2.0 beach.png``, whose kind is ``0 beach.png``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bus_toolkit.data.shards.tar_members import Member, read_members
from bus_toolkit.errors import DataError, Problem
from bus_toolkit.json_text import load_json
from bus_toolkit.limits import MEMBER_BYTES
from bus_toolkit.safe_text import one_line

IMAGE_KINDS = ("jpg", "jpeg", "png", "webp")
_PARTS = {**dict.fromkeys(IMAGE_KINDS, "image"), "txt": "text", "json": "json"}
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
_NONE = (-1, 0)


@dataclass(frozen=True)
class Stamp:
    """Size in bytes and times of the last change in ns: they reveal that a shard was replaced under its name.

    Tars are padded to 10 KiB, and copies may keep ``mtime``, the time of the content; ``ctime``, that of the file
    itself, nobody can set.
    """

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, file: BinaryIO) -> Stamp:
        """Return the stamp of an open file."""
        stat = os.fstat(file.fileno())
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def has_same_content(self, later: Stamp) -> bool:
        """Return whether size and time of the content are the same; a new name or owner changes neither."""
        return (self.size, self.mtime_ns) == (later.size, later.mtime_ns)


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
        left_out: Name and reason of each member that looks like a part of a sample and belongs to none.
        passed_over: Kinds of all other members, and how many of each there are.
    """

    stamp: Stamp
    names: np.ndarray
    name_ends: np.ndarray
    image: np.ndarray
    text: np.ndarray
    json: np.ndarray
    boxed: np.ndarray
    left_out: tuple[tuple[str, str], ...]
    passed_over: Mapping[str, int]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.name_ends)

    def key(self, row: int) -> str:
        """Return the name of a sample: that of its members up to the first dot of the file name."""
        match = _NAME.fullmatch(self.name(row))
        return match.group(1) if match else ""

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
            members = _Members(read_members(file, path))
            whole = [parts for parts in members.samples.values() if "image" in parts and len(parts) > 1]
            samples = sorted(whole, key=lambda parts: parts["image"].offset)
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
        left_out=tuple(members.left_out),
        passed_over=members.passed_over,
    )


class _Members:
    """The members of a shard by what becomes of them.

    Attributes:
        samples: Key to its parts; of two members for one part the first stays.
        left_out: Name and reason of members that look like parts.
        passed_over: How many there are of each other kind.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self.samples: dict[str, dict[str, Member]] = {}
        self.left_out: list[tuple[str, str]] = []
        self.passed_over: Counter[str] = Counter()
        dotted: dict[str, list[Member]] = {}
        for member in members:
            match = _NAME.fullmatch(member.name)
            key, kind = match.groups() if match else ("", "")
            if match is None or last_part(kind) is None:
                self.passed_over[f".{kind}" if match else "names without a kind"] += 1
            elif member.is_link:
                self.left_out.append((member.name, "a link; write the shard from files (tar --dereference)"))
            elif kind.lower() in _PARTS:
                self._add(key, _PARTS[kind.lower()], member)
            else:
                dotted.setdefault(key, []).append(member)
        for key, parts in self.samples.items():
            if "image" not in parts:
                self.left_out.extend((member.name, f"no image of key {key!r}") for member in parts.values())
            elif len(parts) == 1:
                self.left_out.append((parts["image"].name, f"no txt or json of key {key!r}"))
        for key, listed in dotted.items():
            self._judge(key, listed)

    def _add(self, key: str, part: str, member: Member) -> None:
        parts = self.samples.setdefault(key, {})
        if part in parts:
            self.left_out.append((member.name, f"a second {part} of key {key!r}"))
        parts.setdefault(part, member)

    def _judge(self, key: str, members: list[Member]) -> None:
        """Leave out members with a dot in their kind if they were meant as samples; else they are other kinds.

        They were if their key has no part at all (``22.05.jpg``), or if an image has a text of the same name
        (``photo.v2.jpg`` and ``photo.v2.txt`` beside ``photo.jpg``).
        """
        parts: dict[str, set[str | None]] = {}
        for member in members:
            parts.setdefault(member.name.rpartition(".")[0], set()).add(last_part(member.name))
        for member in members:
            stem, kind = member.name.rpartition(".")[0], member.name[len(key) + 1 :]
            if key not in self.samples or ("image" in parts[stem] and len(parts[stem]) > 1):
                reason = f"its key ends at the first dot, so that its kind is {kind!r}; rename it without that dot"
                self.left_out.append((member.name, reason))
            else:
                self.passed_over[f".{kind}"] += 1


def kinds_text(passed_over: Mapping[str, int], most: int = 5) -> str:
    """Return how many members of each kind were passed over, in words; the ``most`` frequent kinds by name."""
    common = Counter(passed_over).most_common()
    words = [f"{count} x {kind}" for kind, count in common[:most]]
    if len(common) > most:
        words.append(f"{sum(count for _, count in common[most:])} of {len(common) - most} more kinds")
    return one_line(", ".join(words))


def last_part(name: str) -> str | None:
    """Return the part of a sample (``image``, ``text``, ``json``) that the last suffix of a name means, if any."""
    return _PARTS.get(name.rpartition(".")[2].lower())


def _has_boxes(file: BinaryIO, member: Member | None) -> bool:
    if member is None or member.size > MEMBER_BYTES.value:  # such a sample is bad
        return False
    try:
        content = load_json(os.pread(file.fileno(), member.size, member.offset))
    except ValueError:
        return False  # Reported when the sample is read, where bad samples are counted.
    return isinstance(content, dict) and bool(content.get("boxes"))


def _places(samples: list[dict[str, Member]], part: str) -> np.ndarray:
    # Offset and size of each member, (samples, 2).
    places = [(sample[part].offset, sample[part].size) if part in sample else _NONE for sample in samples]
    return np.array(places, dtype=np.int64).reshape(-1, 2)
