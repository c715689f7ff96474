"""Our own log on the screen: one line a message, its level first. Needs neither torch nor OpenMMLab."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from typing_extensions import override

from bus_toolkit.safe_text import SafeFormatter

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")


def log_to_screen(level: int = logging.INFO) -> logging.Logger:
    """Show what the loggers ``bus_toolkit.*`` say from ``level`` on; return their common logger.

    Of several processes the first one shows it, the others show errors only. A second call changes the level.
    """
    logger = logging.getLogger("bus_toolkit")
    logger.setLevel(level)
    if not any(isinstance(handler, _ScreenHandler) for handler in logger.handlers):
        handler = _ScreenHandler()
        handler.setFormatter(SafeFormatter(logging.Formatter("%(levelname)s %(message)s")))
        handler.setLevel(logging.INFO if is_first_process() else logging.ERROR)
        logger.addHandler(handler)
    return logger


@contextmanager
def each_line_once() -> Iterator[None]:
    """Show each line once in the block: models are built there again and again."""
    # One filter each: what one handler has shown is still new to another.
    filters = [(handler, _NewLines()) for handler in logging.getLogger("bus_toolkit").handlers]
    for handler, new_lines in filters:
        handler.addFilter(new_lines)
    try:
        yield
    finally:
        for handler, new_lines in filters:
            handler.removeFilter(new_lines)


class _NewLines(logging.Filter):
    """Let each line through once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        line, count = record.getMessage(), len(self._seen)
        self._seen.add(line)
        return len(self._seen) > count


def is_first_process() -> bool:
    """Return whether this is the first of the processes that a launcher has started, or the only one."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


class _ScreenHandler(logging.StreamHandler):
    """Write to what is the standard error at the moment: a live progress line puts itself in between."""

    @property
    def stream(self) -> TextIO:
        """The present standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignore the stream that the base class stores."""
