"""The console of all output that rich lays out."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

from bus_toolkit.safe_text import safe_lines


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
        raise BrokenPipeError
