"""Folders that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus_toolkit.writing import remove_stale, temporary_name


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` to write into; at the end it takes its place.

    If anything is raised meanwhile, all that was written is removed and ``folder`` stays as it was. Where another
    process was faster, its folder stays. Of a link the folder that it leads to is written, and the link stays.

    Raises:
        OSError: It cannot be written; or it is the folder that this process is in, or one above: all paths without a
            slash in front would lead nowhere, here and in the shell.
    """
    folder = folder.resolve()
    if folder.is_dir() and Path.cwd().is_relative_to(folder):
        raise OSError(errno.EBUSY, "the working directory is in it and cannot be replaced. Name a folder below")
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(folder.parent, re.escape(folder.name))
    scratch = temporary_name(folder)
    scratch.mkdir()
    try:
        yield scratch
        _put_in_place(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(scratch: Path, folder: Path) -> None:
    old = scratch.with_suffix(".old")
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(scratch, folder)
    except OSError:
        if not folder.exists():
            if old.exists():
                os.rename(old, folder)
            raise
    shutil.rmtree(old, ignore_errors=True)
