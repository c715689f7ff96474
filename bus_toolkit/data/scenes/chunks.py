"""Work on many scenes, in chunks over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 500


def usable_cpus() -> int:
    """Return the number of processors this process may run on."""
    return len(os.sched_getaffinity(0))


def in_chunks(function: Callable[[list[Item]], list[Result]], items: list[Item], workers: int) -> list[Result]:
    """Return the joined results of ``function`` on consecutive chunks, computed by ``workers`` processes.

    One process, or few items, compute in this one.
    """
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    if workers <= 1 or len(chunks) == 1:
        return [result for chunk in chunks for result in function(chunk)]
    # fork: the children only use numpy and OpenCV, and a script without a __main__ guard must not start twice.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        return [result for part in pool.map(function, chunks) for result in part]
