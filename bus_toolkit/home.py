"""Paths of users: with ``~``, or such as no file can have."""

from __future__ import annotations

import os
from pathlib import Path

from bus_toolkit.errors import ConfigError

_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes, of Linux and its usual file systems


def expand_home(path: str | Path) -> Path:
    """Return ``path`` with the home folder in place of ``~`` or ``~user``; that of an unknown user stays as it is.

    ``Path.expanduser`` raises a ``RuntimeError`` there. Here such a path leads nowhere, as a misspelt one does, and the
    reader of the file reports it.

    Raises:
        ConfigError: It is longer than a path can be, or holds a zero character: asking for such a file is an error of
            its own kind at each place.
    """
    name = os.fsencode(path)
    if b"\0" in name or len(name) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in name.split(b"/")):
        raise ConfigError(
            f"{str(path)[:60]!r}...: no file can have this name, of {len(name)} bytes. Allowed are "
            f"{_LONGEST_NAME} bytes between slashes, {_LONGEST_PATH} in all, and no zero character. Correct the path."
        )
    return Path(os.path.expanduser(path))
