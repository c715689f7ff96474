"""Where in its data a training is: in which pass, and after how many batches of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from mmengine.dist import get_rank, get_world_size
from torch.utils.data import DataLoader, IterableDataset

from bus_toolkit.data.samplers.numbered import NumberedBatches, NumberedSampler
from bus_toolkit.draws import derived_seed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataPosition:
    """A place between two batches.

    Attributes:
        passes: Whole passes over the data that were made.
        batches: Batches of a process in the pass after these; of an endless sampler, since the start of the training.
        rows: Rows that the samplers of all processes give for a batch; 0 if that is not known.
    """

    passes: int
    batches: int
    rows: int = 0

    @classmethod
    def of_section(cls, section: Any) -> DataPosition | None:
        """Return what a checkpoint holds, ``None`` for one of an earlier version."""
        return None if not isinstance(section, Mapping) else cls(**{f.name: int(section[f.name]) for f in fields(cls)})

    def in_batches_of(self, rows: int) -> tuple[DataPosition, int]:
        """Return this place between batches of another size, and how many rows come again: it is rounded down."""
        batches, again = divmod(self.batches * self.rows, rows)
        return DataPosition(self.passes, batches, rows), again


def order_of(loader: DataLoader) -> NumberedSampler | NumberedBatches | None:
    """Return what numbers the samples of a loader; ``None`` where nothing does, as for a stream."""
    batches: Any = loader.batch_sampler
    candidates = (batches, loader.sampler, getattr(batches, "sampler", None))
    return next((one for one in candidates if isinstance(one, NumberedSampler | NumberedBatches)), None)


def rows_a_batch(loader: DataLoader) -> int:
    """Return how many rows the samplers of all processes give for a batch; 0 if that is not known."""
    order = order_of(loader)
    if isinstance(order, NumberedBatches):
        return int(getattr(order.batches, "sampled_rows", 0)) * get_world_size()
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 1
    return int(size) * get_world_size()


def go_to(loader: DataLoader, position: DataPosition) -> bool:
    """Let the next iteration over a loader begin at a place, without reading what lies before it.

    Returns:
        Whether it can: a stream (``IterableDataset``) has no places, and a loader that somebody has built no numbers.
    """
    order = order_of(loader)
    if isinstance(order, NumberedBatches):
        order.sampler.set_epoch(position.passes)
        order.first = position.batches
    elif order is not None:
        order.set_epoch(position.passes)
        order.first = position.batches * (rows_a_batch(loader) // get_world_size())
    return order is not None


def batches_from(loader: DataLoader, position: DataPosition, run_seed: int) -> Iterator[Any]:
    """Iterate over the batches of a pass from a place on; a stream is read from its beginning for that.

    Args:
        loader: The loader of a training.
        position: Where to begin.
        run_seed: The seed of the run, which the random numbers of a stream follow from.
    """
    if go_to(loader, position):
        return iter(loader)
    if isinstance(loader.dataset, IterableDataset) and loader.generator is not None:
        loader.generator.manual_seed(derived_seed(run_seed, get_rank(), position.passes))
    iterator = iter(loader)
    if position.batches:
        _log.warning(
            "train_dataloader: %s has no numbered rows, so that %d batches are read once more and left out.",
            type(loader.dataset).__name__,
            position.batches,
        )
    return islice(iterator, position.batches, None)
