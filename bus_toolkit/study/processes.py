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
    """While it is entered, SIGTERM ends this process as Ctrl-C does: through ``finally`` blocks, which end the jobs."""

    def __enter__(self) -> Self:
        """Take the signal; a thread other than the main one cannot, and leaves it."""
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signal back."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def ended_at_last(running: list[Process]) -> Iterator[None]:
    """End those processes in ``running`` that are left when the block ends, whatever ends it."""
    with Ending():
        try:
            yield
        finally:
            while running:
                running.pop().end()
