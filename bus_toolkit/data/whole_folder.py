"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` to write into; at the end it takes its place.

    If anything is raised meanwhile, all that was written is removed and ``folder`` stays as it was. Where another
    process was faster, its folder stays.

    Raises:
        OSError: It cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".tmp", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
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
