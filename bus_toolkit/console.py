"""The console of all output that rich lays out, and screens that are gone."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

from bus_toolkit.safe_text import safe_lines

_OUTPUTS = (1, 2)  # descriptors of the standard output and of errors


class ScreenConsole(Console):
    """A console that leaves it to its caller what happens when the reader of the output ends first, as ``| head`` does.

    Rich's own ends the process with exit code 1, which means a fault here. Text, also that of table cells, passes
    :func:`safe_lines`: rich would hand an ESC in a caption to the terminal.
    """

    @override
    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(safe_lines(text), **settings)

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextlib.contextmanager
def screen_may_end() -> Iterator[None]:
    """Let go on, without a screen, what shows something meanwhile: a training is worth more than its line.

    The reader of its output may end first (Ctrl-C ends the ``tee`` of ``train | tee``, too), or its terminal is closed.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO) or not leave_lost_screen():
            raise


def leave_lost_screen() -> bool:
    """Lead output that nobody can get any more nowhere; return whether there was such."""
    lost = [number for number in _OUTPUTS if _is_lost(number)]
    for number in lost:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    return bool(lost)


def _is_lost(number: int) -> bool:
    """Return whether a descriptor is of a terminal that was closed, or of a pipe that nobody reads."""
    asked = select.poll()
    asked.register(number, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in asked.poll(0))
