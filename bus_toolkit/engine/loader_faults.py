"""Workers of data loaders that died or hang: one error that says which one, and what to look at."""

from __future__ import annotations

import gc
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data._utils.signal_handling import _remove_worker_pids
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from bus_toolkit.engine.process_table import STATE, stat_of
from bus_toolkit.errors import DataError

SECONDS = 1800  # without a batch; as long as ranks wait for each other
_MEMORY = (
    "The system kills what takes the last memory: look at `dmesg` and `free`; lower num_workers, prefetch_factor or "
    "batch_size."
)
_SHARED = (
    "Batches come through shared memory, and it is full: look at `df -h /dev/shm`; give a container more "
    "(--shm-size=8g), or lower num_workers, prefetch_factor or batch_size."
)
_CRASH = "A library crashed on a sample: `bus-toolkit verify CONFIG` finds it, as does num_workers=0, by its traceback."
_HINTS = {"SIGKILL": _MEMORY, "SIGBUS": _SHARED, "SIGSEGV": _CRASH, "SIGABRT": _CRASH, "SIGFPE": _CRASH}
_OTHER = "Look at its messages above, at the memory (`dmesg`), at `df -h /dev/shm` and at the storage of the data."
_STATES = {"T": "is stopped (by SIGSTOP or a debugger)", "D": "waits for the storage", "Z": "is dead"}
_SHORTLY = 1.0  # seconds until the end of a process is known


def limit_waiting(loader: DataLoader) -> None:
    """Let ``loader`` wait for a batch no longer than its ``timeout`` says, or half an hour if that is 0."""
    loader.timeout = (loader.timeout or SECONDS) if loader.num_workers else 0


@contextmanager
def worker_faults() -> Iterator[None]:
    """Turn what torch raises for a worker into one error that says what to look at.

    Where a worker dies, torch raises a ``RuntimeError`` out of a signal handler, or what its broken connection gives,
    or both, one after the other; and again whenever another one ends, wherever the program is.

    Raises:
        DataError: A worker of a data loader died, or gave no batch within the limit.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        with _no_more_errors():
            iterators = [one for one in gc.get_objects() if _is_in_use(one)]
            text = _hanging(error, iterators) or _no_room(error) or _died(error, iterators)
            if text is not None:
                _end_workers(iterators)
        if text is None:
            raise
        raise DataError(text) from error


@contextmanager
def _no_more_errors() -> Iterator[None]:
    """Let no further end of a worker raise an error meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def _died(error: Exception, iterators: Sequence[Any]) -> str | None:
    """Return the message about workers that have died; ``None`` if the error is of something else."""
    is_about_worker = str(error).startswith("DataLoader worker (pid")
    if not is_about_worker and not (isinstance(error, OSError | EOFError) and _is_within(error, iterators)):
        return None
    workers = {worker.pid: (number, worker) for one in iterators for number, worker in enumerate(one._workers)}
    last = time.monotonic() + _SHORTLY
    while not any(worker.exitcode for _, worker in workers.values()) and time.monotonic() < last:
        time.sleep(0.02)
    dead = {pid: (number, worker.exitcode) for pid, (number, worker) in workers.items() if worker.exitcode}
    if not dead:
        return f"data loader: {error} {_OTHER}" if is_about_worker else None
    names = [_name_of(code) for _, code in dead.values()]
    which = ", ".join(f"worker {number} (pid {pid}, {_name_of(code)})" for pid, (number, code) in dead.items())
    return f"data loader: {which} died, so batches are missing. {_HINTS.get(names[0], _OTHER)}"


def _name_of(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"


def _is_within(error: Exception, iterators: Sequence[Any]) -> bool:
    """Return whether the error was raised where one of the iterators was asked for a batch."""
    traceback = error.__traceback__
    while traceback is not None:
        if any(traceback.tb_frame.f_locals.get("self") is one for one in iterators):
            return True
        traceback = traceback.tb_next
    return False


def _no_room(error: Exception) -> str | None:
    """Return the message about a worker that got no shared memory and lived to say so; ``None`` if it is another error.

    torch reserves the room for a batch, which fails where the file system can say so; else SIGBUS ends the worker.
    """
    is_about_room = "unable to allocate shared memory" in str(error)
    return f"data loader: a worker found no room for a batch. {_SHARED}" if is_about_room else None


def _hanging(error: Exception, iterators: Sequence[Any]) -> str | None:
    """Return the message about a loader that gave no batch in time; ``None`` if the error is of something else."""
    timed_out = re.match(r"DataLoader timed out after (\S+) seconds", str(error))
    if timed_out is None:
        return None
    asked = [one for one in iterators if _is_within(error, [one])]
    where = "a worker"
    if asked:
        number = asked[0]._task_info.get(asked[0]._rcvd_idx, (0,))[0]
        worker = asked[0]._workers[number]
        state = _STATES.get(stat_of(worker.pid, STATE) or "", "works or waits")
        where = f"worker {number} of {len(asked[0]._workers)} (pid {worker.pid}), which {state},"
    return (
        f"data loader: {where} gave no batch in {float(timed_out[1]):g} s, which is the loader's timeout. Look at the "
        "storage of the data (a network file system that hangs), at the memory, at /dev/shm, and at transforms that "
        "wait; longer waits are allowed by `timeout: SECONDS` of the loader."
    )


def _is_in_use(thing: object) -> bool:
    # By its type: isinstance asks a weak proxy for its object, which may be gone.
    return issubclass(type(thing), _MultiProcessingDataLoaderIter) and thing._worker_pids_set  # type: ignore[attr-defined]


def _end_workers(iterators: Sequence[Any]) -> None:
    for iterator in iterators:
        iterator._worker_pids_set = False  # as torch does it, at the end of its own _shutdown_workers
        _remove_worker_pids(id(iterator))
        for worker in iterator._workers:
            worker.kill()
