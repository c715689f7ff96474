"""The worker processes of data loaders: signals to a run are for its main process, which ends them."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from torch.utils.data import DataLoader

from bus_toolkit.engine.stop_signals import NUMBERS

_GRACE = 1.0  # seconds that processes have to end at the end of the interpreter


def own_workers(loader: DataLoader) -> None:
    """Let the workers of ``loader`` go on when a signal asks a training to end, until it has finished its step.

    A terminal sends Ctrl-C to all processes of a run, and Slurm its signals, too. A worker that died of it would take
    the next batch with it. Workers end when their loader or their parent does.
    """
    loader.worker_init_fn = partial(_start_worker, own=loader.worker_init_fn)


def stop_workers(loop: Any) -> None:
    """End the workers of a loop that has finished.

    torch ends them when the loader's iterator is collected. Runner, loop and loader refer to each other, so that this
    happens at some later time, and the threads that send the workers their end are stopped first: torch then waits for
    5 seconds a worker.

    Args:
        loop: MMEngine's loop over epochs or iterations, or anything else.
    """
    loader: Any = getattr(loop, "dataloader", None)
    for holder in (loader, getattr(loop, "dataloader_iterator", None)):
        iterator: Any = getattr(holder, "_iterator", None)
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
            for worker in iterator._workers:  # one that hangs ignores the SIGTERM by which torch ends it
                worker.kill()
    if isinstance(loader, DataLoader):
        loader._iterator = None  # another pass starts new workers


def _start_worker(number: int, *, own: Callable[[int], None] | None) -> None:
    for name in NUMBERS:
        signal.signal(name, signal.SIG_IGN)
    if own is not None:
        own(number)


def _end_children() -> None:
    """End daemonic processes. ``multiprocessing`` does so next, but waits for ever for one that ignores it."""
    children = [child for child in multiprocessing.active_children() if child.daemon]
    for child in children:
        child.terminate()
    last = time.monotonic() + _GRACE
    for child in children:
        child.join(max(0.0, last - time.monotonic()))
        child.kill()


Finalize(None, _end_children, exitpriority=100)
