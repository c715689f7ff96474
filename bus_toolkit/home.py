"""Paths that start with ``~``."""

from __future__ import annotations

import os
from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """Return ``path`` with the home folder in place of ``~`` or ``~user``; that of an unknown user stays as it is.

    ``Path.expanduser`` raises a ``RuntimeError`` there. Here such a path leads nowhere, as a misspelt one does, and the
    reader of the file reports it.
    """
    return Path(os.path.expanduser(path))
