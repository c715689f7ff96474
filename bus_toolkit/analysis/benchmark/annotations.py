"""What captions with boxes cost before the first batch: time to be there, and memory of each process."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from bus_toolkit.analysis.benchmark.made_up_captions import CaptionFiles
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.samplers.region_batch_sampler import RegionBatchSampler, RegionRow
from bus_toolkit.errors import BusError

_ROWS = 256  # of a batch


@dataclass(frozen=True)
class StartUp:
    """Times in seconds on the clock and of a core, memory in MiB.

    Attributes:
        built: Seconds until the data set is there.
        core: Seconds of a core for it.
        first: Further seconds until a batch of one worker is there.
        peak: The most memory that the process that trains had for it, beyond what it had before.
        own: Its memory that no other process has, once all batches are read.
        workers: The same of each worker, beyond what it had when it began.
    """

    built: float
    core: float
    first: float
    peak: float
    own: float
    workers: tuple[float, ...]


def measure_start_up(
    files: CaptionFiles, table_dir: Path | None, *, workers: int = 2, start: str = "fork", rows: int = 100_000
) -> StartUp:
    """Build the data set in a new process, and read rows through a loader's workers.

    Args:
        files: What is read.
        table_dir: Folder of tables; ``None`` for none. Where they are not yet there, their making counts.
        workers: Workers of the loader, 1 or more.
        start: How workers are started: ``fork`` or ``spawn``.
        rows: Rows that all workers together read, drawn at random; texts and boxes, no pixels.

    Raises:
        BusError: The process has failed.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    arguments = (there, files, None if table_dir is None else str(table_dir), workers, start, rows)
    process = context.Process(target=_measure, args=arguments)
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        process.join()
        raise BusError(f"benchmark-annotations: the process that measures ended with {process.exitcode}.") from error
    finally:
        process.join()


class _Rows(Dataset):
    """Reads rows as a loader's worker does, and returns what the worker's memory has grown by."""

    def __init__(self, data: RegionCaptionDataset) -> None:
        self.data, self._before = data, 0.0

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[int, float]]:
        self._before = self._before or own_memory()
        for row in rows:
            self.data.checked_info(int(row), region_only=isinstance(row, RegionRow))
        return [(os.getpid(), own_memory() - self._before)]


def _measure(
    out: Any, files: CaptionFiles, table_dir: str | None, workers: int, start: str, rows: int
) -> None:  # in a process of its own
    before, core, begin = _peak(), time.process_time(), time.monotonic()
    data = RegionCaptionDataset(
        {"type": "mmpretrain.COCORetrieval", "data_root": str(files.captions.parent), "ann_file": str(files.captions)},
        instances_file=str(files.instances),
        regions_file=str(files.regions),
        table_dir=table_dir,
    )
    built, core = time.monotonic() - begin, time.process_time() - core
    chosen = np.random.default_rng(0).integers(len(data), size=rows).tolist()
    sampler = RegionBatchSampler(_Given(data, chosen), _ROWS - 16, region_batch_size=16, drop_last=False)
    loader = DataLoader(
        _Rows(data),
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=start,
        collate_fn=_as_it_is,
    )
    begin, first, grown = time.monotonic(), 0.0, {}
    for batch in loader:
        first = first or time.monotonic() - begin
        grown.update(batch)
    out.send(StartUp(built, core, first, _peak() - before, own_memory(), tuple(grown.values())))


class _Given(Sampler[int]):
    """Rows in a given order."""

    def __init__(self, dataset: RegionCaptionDataset, rows: Sequence[int]) -> None:
        self.dataset, self._rows = dataset, rows

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _as_it_is(items: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return items


def own_memory() -> float:
    """Return the memory in MiB that this process alone has; mapped pages of files, the system's cache, do not count."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
