"""Data loaders whose random numbers depend on the seed, the epoch and the sample alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import get_rank
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from bus_toolkit.data.datasets.seeded_samples import SeededSamples
from bus_toolkit.data.samplers.numbered import NumberedBatches, NumberedSampler, NumberedStream
from bus_toolkit.draws import derived_seed

_ORDER = ("dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last")


def seeded_loader(loader: DataLoader, run_seed: Callable[[], int]) -> DataLoader:
    """Return a loader of the same batches, whose samples are made with random numbers of their own.

    They depend on the run's seed, the epoch and the number of the sample in it, or its number since the start of the
    training where the sampler is a stream; not on workers, ranks, or where the run was resumed. MMEngine seeds workers
    by their number alone, so that workers which are not persistent would draw the same numbers in every epoch.

    The workers of an ``IterableDataset``, which takes no indices, are seeded for each pass by torch instead: its
    random numbers depend on the number of workers, and those of persistent ones on what they drew in passes before.

    Args:
        loader: What MMEngine's Runner built.
        run_seed: Returns the seed of the run.
    """
    if isinstance(loader.dataset, IterableDataset):
        loader.worker_init_fn = None
        loader.generator = torch.Generator().manual_seed(derived_seed(run_seed(), get_rank()))
        return loader
    settings = {
        name: getattr(loader, name)
        for name in inspect.signature(DataLoader).parameters
        if name not in _ORDER and hasattr(loader, name)
    }
    return DataLoader(SeededSamples(loader.dataset), **settings, **_order(loader, run_seed))


def _order(loader: DataLoader, run_seed: Callable[[], int]) -> dict[str, Any]:
    """Return the arguments of a loader that say which samples come when."""
    if loader.batch_size is not None or loader.batch_sampler is None:  # torch makes the batches, or there are none
        sampler = _numbered(loader.sampler, run_seed)
        return {"sampler": sampler, "batch_size": loader.batch_size, "drop_last": loader.drop_last}
    batches: Any = loader.batch_sampler
    if type(loader.batch_sampler) is not BatchSampler:
        return {"batch_sampler": NumberedBatches(batches, run_seed)}
    batches.sampler = _numbered(batches.sampler, run_seed)
    return {"batch_sampler": batches}


def _numbered(sampler: Any, run_seed: Callable[[], int]) -> NumberedSampler:
    return (NumberedStream if hasattr(sampler, "skip") else NumberedSampler)(sampler, run_seed)
