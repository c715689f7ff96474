"""Places for output that cannot be written to."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.errors import ConfigError


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

    The folder is made if it is missing; an error leaves nothing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Write a UTF-8 file that appears whole or not at all, into a folder that is made if it is missing."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_writable_folder(folder: str | Path, flag: str) -> None:
    """Make ``folder`` unless it is there, and try whether files can be made in it.

    Raises:
        ConfigError: It cannot be made, or nothing can be written into it.
    """
    with writing(folder, flag):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
