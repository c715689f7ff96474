"""The console of all output that rich lays out."""

from __future__ import annotations

from rich.console import Console
from typing_extensions import override


class ScreenConsole(Console):
    """A console that leaves it to its caller what happens when the reader of the output ends first, as ``| head`` does.

    Rich's own ends the process with exit code 1, which means a fault here.
    """

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
