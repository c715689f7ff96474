"""What the command-line tools share: how they end, and arguments that several take."""

from __future__ import annotations

import argparse
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


def positive_int(text: str) -> int:
    """Return a whole number of 1 or more; the ``type`` of an argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value
