"""What tests of several folders share: two processes that work as ranks."""

from __future__ import annotations

import contextlib
import datetime
import gc
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch
import torch.distributed as dist

from bus_toolkit.engine import quiet_hosts
from bus_toolkit.engine.launch import shutdown_distributed
from bus_toolkit.plugin.manager import load_plugins

TwoRanks = Callable[..., list[Any]]


# The libraries and the list of tests are some 700,000 objects that stay: to search them for garbage again and again
# takes a tenth of the time of all tests.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRanks]:
    """Return a function that calls ``task(rank, *args)`` on two ranks and returns what each of them returns.

    The processes start once, as forks of one that has imported the libraries: that takes longer than the tests on them.
    It imports nothing by the name ``tests``, which packages that are installed may have, too.
    """
    folder, runs = tmp_path_factory.mktemp("two_ranks"), itertools.count()
    context = get_context("forkserver")
    context.set_forkserver_preload(["bus_toolkit.engine", "bus_toolkit.models"])
    # A process keeps its rank: torch remembers the shapes of a rank's part of a DTensor, and would give a process that
    # was the other one before memory of another size, which a fused optimizer writes past.
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=context, initializer=_load)) for _ in range(2)]

        def call(task: Callable[..., Any], *args: Any) -> list[Any]:
            meeting = (folder / str(next(runs))).as_uri()  # a file, as a port could be taken by another test's process
            return [future.result() for future in [pools[r].submit(_on_rank, r, meeting, task, args) for r in range(2)]]

        yield call


def _load() -> None:
    quiet_hosts()
    load_plugins()


def _on_rank(rank: int, meeting: str, task: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    # As torchrun would; GPUs are hidden, since with them a training opens a group of its own.
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", CUDA_VISIBLE_DEVICES="")
    timeout = datetime.timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timeout)
    try:
        with contextlib.chdir("."):  # a task may go to a folder of its rank; the next task finds both where they were
            return task(rank, *args)
    finally:
        shutdown_distributed()
