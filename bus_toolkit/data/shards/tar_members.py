"""The members of a tar, read strictly: faults that Python's ``tarfile`` ignores are errors here."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from bus_toolkit.data.shards.forward_file import ForwardFile
from bus_toolkit.errors import BusError, DataError, Problem

_BLOCK = tarfile.BLOCKSIZE
_MAGIC = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstandard", b"PK": "zip"}


class Member(NamedTuple):
    """A file in a tar: its name, and offset and size of its content in bytes; a link to another one has none."""

    name: str
    offset: int
    size: int
    is_link: bool = False


def read_members(file: BinaryIO, path: Path) -> Iterator[Member]:
    """Yield the regular files and the links of an uncompressed tar in their order; only headers are read.

    Headers are those of ``tarfile``: ustar, GNU long names, pax. It stops without a word at a broken header, at an end
    in the middle of one, and at the first end mark of two tars in one file; here each is reported.

    Raises:
        DataError: The file is cut off, is compressed or no tar, or holds something else than one whole tar.
    """
    size = os.fstat(file.fileno()).st_size
    magic = os.pread(file.fileno(), 2, 0)
    if magic in _MAGIC:
        raise _refusal(
            path,
            f"is compressed ({_MAGIC[magic]}), and a compressed tar has no random access. Uncompress it.",
        )
    last, count = "", 0
    try:
        with tarfile.open(fileobj=cast(Any, ForwardFile(file)), mode="r:") as tar:
            for member in tar:
                # tarfile keeps every header that it has read.
                tar.members.clear()  # type: ignore[attr-defined]  # missing in typeshed alone
                end = member.offset_data + member.size
                if member.size < 0:  # tarfile would go back to this header, for ever
                    raise tarfile.HeaderError(f"the header of {member.name} states {member.size} bytes")
                if member.issparse():
                    raise _refusal(path, f"{member.name} is a sparse file. Write the shard without --sparse.")
                if end > size:
                    raise _cut_off(path, f"in the middle of {member.name}", size, end, count)
                last, count = member.name, count + 1
                if member.isreg() or member.islnk() or member.issym():
                    yield Member(member.name, member.offset_data, member.size, is_link=not member.isreg())
            _check_end(file, tar.offset, size, path, last, count)
    except (BusError, OSError):
        raise
    except Exception as error:  # hostile headers make tarfile raise nearly anything
        raise _refusal(
            path,
            f"the tar cannot be read after {count} members ({last or 'none'} is the last whole one): {_reason(error)}. "
            "Copy or write the shard again.",
        ) from error


def is_header_of(block: bytes, key: str, size: int) -> bool:
    """Return whether a block of 512 bytes is the header of a member of sample ``key`` with so many bytes.

    Names that a header has no room for, or that are not ASCII, are written elsewhere and are not compared.
    """
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    is_whole = key.isascii() and len(header.name) < tarfile.LENGTH_NAME
    return header.size == size and (not is_whole or header.name.startswith(f"{key}."))


def _check_end(file: BinaryIO, offset: int, size: int, path: Path, last: str, count: int) -> None:
    """Require zeros from ``offset`` to the end of the file, at least a block of them: the end mark of a tar."""
    file.seek(offset)
    mark = file.read(_BLOCK)
    if len(mark) < _BLOCK:
        raise _cut_off(path, f"after {last or 'nothing'}, without an end mark", size, offset + _BLOCK, count)
    if any(mark):
        raise _refusal(
            path,
            f"byte {offset}, after {last or 'the start'}, is no header of a tar. Copy or write the shard again.",
        )
    while rest := file.read(1 << 20):
        if any(rest):
            raise _refusal(
                path,
                f"there is more after the end mark of the tar at byte {offset} (after {last}). One file holds "
                "one tar; write the shard again, or split it.",
            )


def _cut_off(path: Path, position: str, size: int, needed: int, count: int) -> DataError:
    return _refusal(
        path,
        f"is cut off {position}: {size} bytes, needs at least {needed}; {count} whole members before. "
        "Copy or write the shard again, or leave it out.",
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, tarfile.TarError) else f"a damaged header, {type(error).__name__}: {error}"


def _refusal(path: Path, text: str) -> DataError:
    return DataError(Problem(str(path), text))
