"""How every command ends."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from bus_toolkit.errors import BusError
from bus_toolkit.own_log import log_to_screen

DEBUG_FLAG = "--debug"
MISTAKE, STOPPED, INTERRUPTED, PIPE_CLOSED = 2, 75, 130, 141


def run_cli(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Call ``main`` with the command line and exit.

    Exit codes: the return value of ``main`` (0 for ``None``); 2 after a :class:`BusError`, whose lines go to stderr;
    75 when SIGTERM, SIGUSR1 or SIGHUP has stopped a training, which can be resumed (in sysexits.h a failure that
    passes); 130 when interrupted; 141 when the reader of the output ends first, as ``| head`` does.
    ``--debug`` anywhere on the command line shows the traceback of a ``BusError`` too.
    """
    log_to_screen()
    let_threads_sleep()
    if isinstance(sys.stdout, io.TextIOWrapper):  # captions hold letters that the encoding of a terminal may not have
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _call(main)
    except BrokenPipeError:
        _drop_unread_output()
        code = PIPE_CLOSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    gc.freeze()  # else the interpreter searches all objects of the libraries for garbage, just to end: a second
    sys.exit(code)


def let_threads_sleep() -> None:
    """Let torch's threads on the CPU sleep while they wait for each other, unless the environment says otherwise.

    They spin by default; with other work on the machine, and small tensors, most of the time goes there. Counts only
    before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _call(main: Callable[[list[str] | None], int | None]) -> int:
    try:
        return main(None) or 0
    except BusError as error:
        if DEBUG_FLAG in sys.argv:
            raise
        if sys.stderr is not None:  # closed by the shell, `2>&-`; print would take stdout in its place
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
        return MISTAKE
    finally:  # a help that argparse prints ends in SystemExit
        if sys.stdout is not None:
            sys.stdout.flush()


def _drop_unread_output() -> None:
    """Lead a stream that nobody reads to nowhere: the interpreter writes its rest at the end, and would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
