"""Locks on folders: processes do not write into one at the same time, nor replace one that another process reads.

The kernel releases them when a process ends. Where a file system has no locks, everything works as without them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make ``folder`` if it is missing, and let no other process enter such a block of it while this one runs.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def hold(file: Path) -> BinaryIO:
    """Return ``file``, opened: until it is let go, or all processes that have it end, it is in use."""
    held = file.open("rb")
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH)
    return held


def let_go(held: BinaryIO) -> None:
    """Release what ``hold`` returned, for processes that were forked since, too."""
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_UN)
    held.close()


def is_in_use(file: Path) -> bool:
    """Return whether a process holds ``file``; one that cannot be opened is held by none."""
    try:
        with file.open("r+b") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
