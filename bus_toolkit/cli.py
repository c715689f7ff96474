"""How a command-line tool ends: a mistake of the user is told without a traceback, a defect of ours with one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from bus_toolkit.errors import BusError

DEBUG_FLAG = "--debug"


def run_cli(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Call ``main`` with the command line and exit.

    Exit codes: what ``main`` returns (0 for ``None``); 2 after a :class:`BusError`, whose lines go to stderr; 130 when
    interrupted.
    ``--debug`` anywhere on the command line shows the traceback of a ``BusError`` too.
    """
    try:
        sys.exit(main(None) or 0)
    except BusError as error:
        if DEBUG_FLAG in sys.argv:
            raise
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
