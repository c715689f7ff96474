"""Processes that run jobs, and that end with the process that started them."""

from __future__ import annotations

import contextlib
import fcntl
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

from bus_toolkit.study.results import PID, RESULT

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
        with (folder / LOG).open("w", encoding="utf-8") as output, (folder / PID).open("w", encoding="utf-8") as number:
            fcntl.flock(number, fcntl.LOCK_EX)
            # In a session of its own: all its processes can be ended, and Ctrl-C reaches them through this one only.
            self._process = subprocess.Popen(
                [*command, str(folder)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[number.fileno()],  # with the lock, which is released when the last process of the job ends
            )
            number.write(f"{self._process.pid}\n")

    def code(self) -> int | None:
        """Return the exit code; ``None`` while it runs."""
        return self._process.poll()

    def failure(self) -> str:
        """Return why it has failed: the last line of its output, and the signal that ended it."""
        try:
            lines = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError as error:  # its folder was removed while it ran, say
            lines = [f"its output cannot be read: {error.strerror}."]
        last, code = lines[-1] if lines else "", self.code() or 0
        if code >= 0:
            return last
        name = signal.strsignal(-code) or f"signal {-code}"
        memory = ", as by a system without free memory" if -code == signal.SIGKILL else ""
        return f"it was ended from outside ({name}{memory}). Its last line: {last or 'none'}"

    def ask_to_end(self) -> None:
        """Ask it and all processes that it started to end."""
        self._send(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, at most so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self) -> None:
        """End it and all processes that it started now, and remove what it has written, unless it had finished."""
        self._send(signal.SIGKILL)  # its data loaders, too, if they are still there
        self._process.wait()
        if not (self.folder / RESULT).is_file():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Ending:
    """While it is entered, SIGTERM, Ctrl-C and a closed terminal end this process at a ``check`` only.

    Sent again, they end it at once.

    An exception out of the handler could leave a lock of ``subprocess`` taken, and a job with it.
    """

    def __enter__(self) -> Self:
        """Take the signals, but one that is ignored, as after nohup; a thread other than the main one leaves them."""
        self._signal: int | None = None
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in taken}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """End the process if it shall: as Ctrl-C does, or with the exit code of the signal."""
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
    """End those processes in ``running`` that are left when the block ends, whatever ends it.

    All of them have the same time to end by themselves; a signal that is sent again cuts it short.
    """
    with Ending() as ending:
        try:
            yield ending
        finally:
            try:
                for process in running:
                    process.ask_to_end()
                last = time.monotonic() + _GRACE
                for process in running:
                    process.wait(max(0.0, last - time.monotonic()))
            finally:
                while running:
                    running.pop().end()
