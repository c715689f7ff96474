"""Which line of a part, or of the toolkit, an operation of torch comes from."""

from __future__ import annotations

import sys
from types import FrameType

_KIT = __name__.rpartition(".")[0]


def calling_frame() -> FrameType | None:
    """Return the innermost frame outside of torch and of this kit's watches."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(_KIT) and package_of(name) != "torch":
            return frame
        frame = frame.f_back
    return None


def package_of(module: str) -> str:
    """Return the package that a module's name begins with."""
    return module.partition(".")[0]
