"""Paths of users: with ``~``, such as no file can have, and such as nobody here may look at."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bus_toolkit.errors import ConfigError

_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes, of Linux and its usual file systems
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # which the reader of the file reports


def expand_home(path: str | Path) -> Path:
    """Return ``path`` with the home folder in place of ``~`` or ``~user``; that of an unknown user stays as it is.

    ``Path.expanduser`` raises a ``RuntimeError`` there. Here such a path leads nowhere, as a misspelt one does, and the
    reader of the file reports it.

    Raises:
        ConfigError: It is longer than a path can be, holds a zero character, or lies in a folder that may not be looked
            into (another user's) or that does not answer (of a file server that is gone): asking for such a file is an
            error of its own kind at each place.
    """
    named = home_put_in(path)
    try:
        os.stat(named)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise ConfigError(
                f"{str(named)!r}: cannot be looked at: {error.strerror}. Correct the path, ask its owner for the right "
                "to read it (`namei -l PATH` shows where it ends), or copy the file."
            ) from error
    return named


def home_put_in(path: str | Path) -> Path:
    """Return what :func:`expand_home` does without looking there, as for each of a million images.

    Raises:
        ConfigError: It is longer than a path can be, or holds a zero character.
    """
    name = os.fsencode(path)
    if b"\0" in name or len(name) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in name.split(b"/")):
        raise ConfigError(
            f"{str(path)[:60]!r}...: no file can have this name, of {len(name)} bytes. Allowed are "
            f"{_LONGEST_NAME} bytes between slashes, {_LONGEST_PATH} in all, and no zero character. Correct the path."
        )
    return Path(os.path.expanduser(path))
