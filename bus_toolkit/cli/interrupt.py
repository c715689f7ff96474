"""The handling of Ctrl-C."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

SCRIPT = "bus-toolkit"


def end_at_second_interrupt() -> None:
    """Let the first Ctrl-C end the process in order, with ``KeyboardInterrupt``, and a second one end it at once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as after nohup
        signal.signal(signal.SIGINT, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def program(command: str) -> list[str]:
    """Return the words by which this process was started, up to the name of the command."""
    # Of `python -m bus_toolkit train c.yaml`, sys.argv has the last two words after its own first one.
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    if words[-1].endswith(".py"):  # a script in tools/, which is one command
        return words
    return [SCRIPT, command] if Path(words[-1]).name == SCRIPT else [*words, command]
