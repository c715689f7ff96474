"""Files that are there whole or not at all, and places for output that cannot be written to."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.errors import ConfigError

DAY = 86_400.0  # seconds
# Earlier versions wrote the number of the process alone.
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+(-[0-9a-f]{8})?\.(tmp|old)")
# What some file systems answer that cannot force a folder to the disk: there is nothing more that could be done.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EISDIR, errno.ENOSYS}


@contextlib.contextmanager
def writing(path: str | Path, flag: str) -> Iterator[None]:
    """Report a file or folder that cannot be written, in a ``with`` block that does no more than write it.

    Args:
        path: The file or folder.
        flag: Flag or setting that names it, for the message.

    Raises:
        ConfigError: An ``OSError`` in the block.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{flag}: cannot write {path}: {error.strerror}. Set {flag} to a place that you may write to."
        ) from error


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, whose file appears as ``path`` when the block has ended without an error.

    The folder is made if it is missing; an error leaves nothing. All bytes are on the disk before the file has its
    name, so that a power cut leaves the old file or the new one, too.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    try:
        yield temporary
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Write a UTF-8 file that appears whole or not at all, into a folder that is made if it is missing."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def temporary_name(target: Path) -> Path:
    """Return a name beside ``target`` that no other process has, on this machine or on another one."""
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def put_in_place(temporary: Path, target: Path) -> None:
    """Give a file that has been written and closed its name, once all its bytes are on the disk."""
    _to_disk(temporary)
    os.replace(temporary, target)
    try:
        _to_disk(target.parent)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def remove_stale(folder: Path, names: str, *, older_than: float = DAY) -> list[Path]:
    """Remove what processes that were killed while they wrote have left in ``folder``; return what it was.

    Args:
        folder: Where they wrote.
        names: Regular expression for the whole names of the files that they would have become.
        older_than: Seconds since the last byte; 0 only where no other process can be writing.
    """
    now, removed = time.time(), []
    for path in folder.glob(".*"):
        match = _TEMPORARY.fullmatch(path.name)
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours to remove
            # The time of a file is that of a file server's clock, which may be ahead.
            is_old = older_than <= 0 or now - path.stat().st_mtime >= older_than
            if match and re.fullmatch(names, match["name"]) and is_old:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(path)
    return removed


def make_writable_folder(folder: str | Path, flag: str) -> None:
    """Make ``folder`` unless it is there, and try whether files can be made in it.

    Raises:
        ConfigError: It cannot be made, or nothing can be written into it.
    """
    with writing(folder, flag):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def _to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
