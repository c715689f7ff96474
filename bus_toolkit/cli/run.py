"""How every command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from bus_toolkit.errors import BusError
from bus_toolkit.own_log import log_to_screen

DEBUG_FLAG = "--debug"
MISTAKE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def run_cli(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Call ``main`` with the command line and exit.

    Exit codes: the return value of ``main`` (0 for ``None``); 2 after a :class:`BusError`, whose lines go to stderr;
    130 when interrupted; 141 when the reader of the output ends first, as ``| head`` does.
    ``--debug`` anywhere on the command line shows the traceback of a ``BusError`` too.
    """
    log_to_screen()
    try:
        code = _call(main)
    except BusError as error:
        if DEBUG_FLAG in sys.argv:
            raise
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        code = MISTAKE
    except BrokenPipeError:
        # The interpreter writes the rest of its buffer when it ends: to nowhere, or it would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _call(main: Callable[[list[str] | None], int | None]) -> int:
    try:
        return main(None) or 0
    finally:  # a help that argparse prints ends in SystemExit
        sys.stdout.flush()
