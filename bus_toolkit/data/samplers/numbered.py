"""Indices that carry the seed of their sample's random numbers.

The process that trains decides on the order of the samples, whichever worker reads them; so it numbers them. Number i
of rank r of W ranks is ``i * W + r``, as MMEngine's samplers deal rows out: the numbers of a batch are the same on one
rank and on two with half of it each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from bus_toolkit.draws import derived_seed


class Draw(NamedTuple):
    """A row of a data set, and the seed of the random numbers with which its sample is made."""

    row: int
    seed: int


class NumberedSampler(Sampler[Draw]):
    """A sampler whose indices carry seeds, which follow from the run's seed, the epoch and their number in it.

    Args:
        sampler: Gives the indices. What else it has can be used through this one.
        run_seed: Returns the seed of the run; asked whenever an iteration begins, since resuming may change it.
    """

    def __init__(self, sampler: Any, run_seed: Callable[[], int]) -> None:
        self.sampler = sampler
        self.run_seed = run_seed
        self.current_epoch = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the sampler has, such as its ``dataset``."""
        if name == "sampler":  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def __len__(self) -> int:
        """Return the number of indices of an epoch on this rank."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Draw]:
        """Iterate over the indices of the set epoch."""
        return self.numbered(self.sampler, epoch=self.current_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.current_epoch = epoch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def numbered(self, indices: Iterable[int], *, epoch: int, first: int = 0) -> Iterator[Draw]:
        """Give indices the seeds of numbers from ``first`` on of an epoch."""
        rank, world_size = get_dist_info()
        seed = self.run_seed()
        for number, index in enumerate(indices, start=first):
            yield Draw(index, derived_seed(seed, epoch, number * world_size + rank))


class NumberedStream(NumberedSampler):
    """The same for a sampler that can ``skip``: its numbers count from the start of the training, across epochs."""

    _skipped = 0

    def __iter__(self) -> Iterator[Draw]:
        """Iterate over the indices of the set epoch, or without end if the sampler has none."""
        first = self._skipped
        if self.current_epoch > 0:
            # An epoch that a resumed training skipped into counts as begun.
            first = (self._skipped // len(self) + self.current_epoch) * len(self)
        return self.numbered(self.sampler, epoch=0, first=first)

    def skip(self, num_samples: int) -> None:
        """Start the next iteration after so many indices of this rank, counted from the start of the training."""
        self.sampler.skip(num_samples)
        self._skipped = num_samples


class NumberedBatches(Sampler[list[Draw]]):
    """Batches whose indices carry seeds, for a batch sampler that adds to the indices of its sampler or changes them.

    Args:
        batches: The batch sampler. What else it has can be used through this one.
        run_seed: As for ``NumberedSampler``.

    Attributes:
        sampler: Its sampler, whose epoch MMEngine sets.
    """

    def __init__(self, batches: Any, run_seed: Callable[[], int]) -> None:
        self.batches = batches
        self.sampler = NumberedSampler(batches.sampler, run_seed)

    def __getattr__(self, name: str) -> Any:
        """Return what the batch sampler has, such as its ``batch_size``."""
        if name == "batches":  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        """Return the number of batches of an epoch on this rank."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Iterate over the batches of the set epoch."""
        first, epoch = 0, self.sampler.current_epoch
        for batch in self.batches:
            yield list(self.sampler.numbered(batch, epoch=epoch, first=first))
            first += len(batch)
