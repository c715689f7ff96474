"""Signals that ask a training to end: noted, so that it ends between two steps, with a checkpoint."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from typing_extensions import Self

NUMBERS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)
INTERRUPTED = 130  # what a shell shows for a process that Ctrl-C has ended
# A launcher such as torchrun passes on the Ctrl-C that the terminal has sent to all processes already.
_SAME = 1.0  # seconds
_SHOW_CURSOR = "\x1b[?25h"


class StopRequested(KeyboardInterrupt):
    """A training shall end now; ``number`` is the signal that asks for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopSignals:
    """While it is entered, SIGTERM, SIGUSR1, SIGHUP and Ctrl-C are noted; a second Ctrl-C ends the process at once.

    SIGHUP comes when a terminal or a connection is closed, and torchrun passes it on. Ctrl-C is left alone where it is
    ignored, the others also where something else handles them (SIGHUP after nohup). In a thread other than the main one
    Python allows none of this, and nothing changes.

    The second Ctrl-C is seen by a thread: the main one may wait inside a library, where Python calls no handler.

    Attributes:
        number: The first signal that came; 0 if there was none.
        at_once: Raise :class:`StopRequested` where the signal is handled: there is no step to finish yet.
    """

    _entered: StopSignals | None = None

    def __init__(self) -> None:
        self.number = 0
        self.at_once = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals."""
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if handler is signal.SIG_DFL or (number == signal.SIGINT and callable(handler)):
                self._before[number] = signal.signal(number, self._note)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._woken_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=_end_at_second_interrupt, args=(self._reader,), daemon=True).start()
        StopSignals._entered = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        if StopSignals._entered is not self:
            return
        StopSignals._entered = None
        signal.set_wakeup_fd(self._woken_before)
        os.close(self._writer)  # ends the thread, which closes its own end
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        if self.at_once:
            raise StopRequested(number)

    @classmethod
    def _in_child(cls) -> None:
        """Leave a forked process as it would be without all this: its signals are not those of the training."""
        if cls._entered is not None:
            signal.set_wakeup_fd(-1)
            cls._entered._give_back()
            cls._entered = None


os.register_at_fork(after_in_child=StopSignals._in_child)


def _end_at_second_interrupt(reader: int) -> None:
    """Read the numbers of signals until their pipe is closed; end the process at the second Ctrl-C."""
    first: float | None = None
    with open(reader, "rb", buffering=0) as numbers:
        while got := numbers.read(64):
            if signal.SIGINT not in got:
                continue
            if first is not None and time.monotonic() - first > _SAME:
                _end_now()
            first = first or time.monotonic()


def _end_now() -> None:
    """End the process and the loaders' workers, whatever they are doing."""
    for child in multiprocessing.active_children():
        child.kill()
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR.encode())  # the live line has hidden it
    os._exit(INTERRUPTED)
