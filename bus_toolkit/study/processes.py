"""Processes that run jobs, and that end with the process that started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from typing_extensions import Self

from bus_toolkit.study.results import PID

LOG = "run.log"
_GRACE = 10.0  # seconds that a job has to end before it is killed


class Process:
    """A running job; its output goes into ``run.log`` of its folder.

    Args:
        command: Words that start it; the folder comes after them.
        folder: That of the job, with its order.
        threads: Processor threads of its computations.
    """

    def __init__(self, command: Sequence[str], folder: Path, threads: int) -> None:
        self.folder = folder
        self.began = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        with (folder / LOG).open("w", encoding="utf-8") as output:
            # In a session of its own: all its processes can be ended, and Ctrl-C reaches them through this one only.
            self._process = subprocess.Popen(
                [*command, str(folder)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        (folder / PID).write_text(f"{self._process.pid}\n", encoding="utf-8")

    def code(self) -> int | None:
        """Return the exit code; ``None`` while it runs."""
        return self._process.poll()

    def last_line(self) -> str:
        """Return the last line of its output."""
        lines = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def end(self) -> None:
        """End it and all processes that it started, and remove what it has written so far."""
        self._send(signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
        self._send(signal.SIGKILL)  # its data loaders, too, if they are still there
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Ending:
    """While it is entered, SIGTERM and Ctrl-C end this process at a ``check`` only, and at once when sent again.

    An exception out of the handler could leave a lock of ``subprocess`` taken, and a job with it.
    """

    def __enter__(self) -> Self:
        """Take the signals, but one that is ignored, as after nohup; a thread other than the main one leaves them."""
        self._signal: int | None = None
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGTERM, signal.SIGINT)
            taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in taken}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """End the process if it shall: as Ctrl-C does, or with the exit code of SIGTERM."""
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal is not None:
            sys.exit(128 + self._signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self._signal = self._signal is not None, number
        if again:
            self.check()


@contextlib.contextmanager
def ended_at_last(running: list[Process]) -> Iterator[Ending]:
    """End those processes in ``running`` that are left when the block ends, whatever ends it."""
    with Ending() as ending:
        try:
            yield ending
        finally:
            while running:
                running.pop().end()
