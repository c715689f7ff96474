"""Whether a checkpoint file holds what was written: torch notes a checksum of each record, and does not look at it.

A ``.pth`` is a zip archive, whose directory has the CRC-32 of the pickle and of each tensor. ``torch.load`` is built
without the check, so that a flipped bit becomes another weight without a word. Reading all records once costs about a
second per GB on one core, a fifth of a SHA-256, and needs no second file; a CRC-32 finds every fault of up to 32
neighbouring bits, and misses one in 2^32 of the others.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path

from bus_toolkit.errors import CheckpointError

_CHUNK = 1 << 20
_CHECKED: set[tuple[int, int, int, int]] = set()
_CHECKSUMS: dict[tuple[int, int, int, int], int] = {}
# What Python's reader of archives raises for damage, depending on which bytes are hit.
DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,  # UnicodeDecodeError too
    RuntimeError,  # "encrypted"; NotImplementedError too
    OverflowError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def check_records(path: Path) -> None:
    """Compare each record of a zip archive with its checksum; files of other kinds have none, and pass.

    A file is read once in a process, as long as size and time of it stay.

    Raises:
        CheckpointError: A record differs, or the archive cannot be read.
    """
    stamp = _stamp(path)
    if stamp in _CHECKED or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                if not record.CRC:  # of nothing, or torch was set to compute none (compute_crc32)
                    continue
                with archive.open(record) as content:
                    while content.read(_CHUNK):
                        pass
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: damaged: its bytes are not those that were written ({error}). Use another checkpoint, or another "
            "copy of this one."
        ) from error
    _CHECKED.add(stamp)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file; it is read once in a process, as by :func:`check_records`.

    Raises:
        OSError: The file cannot be read.
    """
    stamp = _stamp(path)
    if stamp not in _CHECKSUMS:
        found = 0
        with path.open("rb") as file:
            while block := file.read(_CHUNK):
                found = zlib.crc32(block, found)
        _CHECKSUMS[stamp] = found
    return _CHECKSUMS[stamp]


def fingerprint(path: Path) -> str:
    """Return a short text that differs between files with other contents; it reads little of a large file.

    Of an archive it is made of the names, sizes and checksums of the records, of other files of their size and ends.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                digest.update(f"{record.filename}\0{record.file_size}\0{record.CRC}\0".encode())
    except DAMAGE:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            digest.update(file.read(_CHUNK))
            file.seek(max(size - _CHUNK, 0))
            digest.update(file.read(_CHUNK))
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int, int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
