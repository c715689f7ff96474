"""A Debian package without its package manager: an ``ar`` archive around ``data.tar``, unpacked by Python, no root."""

from __future__ import annotations

import io
import lzma
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bus_toolkit.errors import DataError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MODES = {"data.tar.xz": "r|xz", "data.tar.gz": "r|gz", "data.tar.bz2": "r|bz2", "data.tar": "r|"}


def unpack_deb(package: Path, folder: Path, below: str) -> int:
    """Write the regular files and links of a ``.deb`` that lie below a path into a folder; return how many files.

    Nothing else is written: no devices, no owners or modes, no link whose target lies outside of ``below``.

    Args:
        package: The ``.deb`` file.
        folder: An existing folder; paths in it are those of the package.
        below: Path in the package, e.g. ``usr/share/openclipart``.

    Raises:
        DataError: It is no whole Debian package, or is compressed in a way that Python cannot read.
    """
    try:
        with package.open("rb") as file:
            name, data = _find_data(file, package)
            with tarfile.open(fileobj=data, mode=_MODES[name]) as tar:  # type: ignore[call-overload]  # "r|xz" and so on
                return sum(_write(tar, member, folder, below) for member in tar)
    except OSError as error:
        raise DataError(
            f"{package}: cannot be unpacked: {error}. Fetch the package again, or free some room."
        ) from error
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{package}: is damaged or cut off: {error}. Fetch the package again.") from error


def _find_data(file: BinaryIO, package: Path) -> tuple[str, _Part]:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise DataError(f"{package}: is no Debian package (no ar archive). Fetch the .deb with apt-get download.")
    for name, size in _ar_members(file, package):
        if name in _MODES:
            return name, _Part(file, size)
        if name.startswith("data.tar"):
            raise DataError(
                f"{package}: {name} is compressed in a way that this Python does not read. "
                "Unpack it with dpkg-deb -x PACKAGE FOLDER, and give the folder."
            )
    raise DataError(f"{package}: has no data.tar, so it is no whole Debian package. Fetch it again.")


def _ar_members(file: BinaryIO, package: Path) -> Iterator[tuple[str, int]]:
    """Yield name and size of each member; the file is then positioned at its content."""
    while header := file.read(_HEADER):
        try:
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        except ValueError as error:
            raise DataError(f"{package}: the ar archive is damaged: {error}. Fetch the package again.") from error
        start = file.tell()
        yield name, size
        file.seek(start + size + size % 2)


class _Part(io.RawIOBase):
    """The next ``size`` bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(content)
        return content


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, below: str) -> int:
    name = posixpath.normpath(member.name)
    if not _lies_below(name, below) or not (member.isreg() or member.issym()):
        return 0
    path = folder / name
    # A link in the package may replace a folder: the target of the link must lie below ``folder`` as well.
    parent = path.parent.resolve()
    if not parent.is_relative_to((folder / below).resolve()) or path.is_symlink():
        return 0
    parent.mkdir(parents=True, exist_ok=True)
    if member.isreg():
        content = tar.extractfile(member)
        path.write_bytes(content.read() if content is not None else b"")
        return 1
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
    if _lies_below(target, below):
        os.symlink(os.path.relpath(folder / target, path.parent), path)
    return 0


def _lies_below(name: str, below: str) -> bool:
    return not name.startswith(("/", "..")) and name.startswith(f"{below}/")
