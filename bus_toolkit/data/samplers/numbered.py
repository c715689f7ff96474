"""Indices that carry the seed of their sample's random numbers, from any place of a pass on.

The process that trains decides on the order of the samples, whichever worker reads them; so it numbers them. Number i
of rank r of W ranks is ``i * W + r``, as MMEngine's samplers deal rows out: the numbers of a batch are the same on one
rank and on two with half of it each.

A resumed training goes on inside a pass: ``first`` says how much of it is left out. What is left out is not read, not
even where a sampler has to be asked for its indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from bus_toolkit.data.datasets.own_generators import generators_in, reseed
from bus_toolkit.data.samplers.own_order import own_order
from bus_toolkit.draws import derived_seed, kept_generators, seed_cpu_generators

_OF_ORDER = -1  # in the place of a sample's number: the seed of a pass itself


class Draw(NamedTuple):
    """A row of a data set, and the seed of the random numbers with which its sample is made."""

    row: int
    seed: int


def indices_from(sampler: Any, first: int) -> Iterator[Any]:
    """Iterate over what a sampler gives in its set epoch, without the ``first`` indices.

    Args:
        sampler: If it has MMEngine's ``skip``, no index is made that is left out.
        first: 0 or more.
    """
    if hasattr(sampler, "skip"):
        sampler.skip(first)
        return iter(sampler)
    return own_order(sampler, first) if type(sampler) is DefaultSampler else islice(sampler, first, None)


class NumberedSampler(Sampler[Draw]):
    """A sampler whose indices carry seeds, which follow from the run's seed, the epoch and their number in it.

    What a sampler draws when a pass begins follows from the run's seed and the epoch, too: those of MMEngine and of
    this toolkit have seeds of their own, somebody else's may draw its order from the global generators.

    Args:
        sampler: Gives the indices. What else it has can be used through this one.
        run_seed: Returns the seed of the run; asked whenever an iteration begins, since resuming may change it.

    Attributes:
        first: How many indices of this rank iterations leave out.
    """

    def __init__(self, sampler: Any, run_seed: Callable[[], int]) -> None:
        self.sampler = sampler
        self.run_seed = run_seed
        self.current_epoch = self.first = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the sampler has, such as its ``dataset``."""
        if name == "sampler":  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def __len__(self) -> int:
        """Return the number of indices of an epoch on this rank."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Draw]:
        """Iterate over the indices of the set epoch, from ``first`` on."""
        yield from self.numbered(self._begun(), epoch=self.current_epoch, first=self.first)

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

    def begin(self, owner: Any, indices: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Begin a pass, with all generators seeded that its order may be drawn from; the same on all ranks.

        Args:
            owner: What may have generators of its own.
            indices: Gives the iterator.
        """
        seed = derived_seed(self.run_seed(), self.current_epoch, _OF_ORDER)
        with kept_generators():
            seed_cpu_generators(seed)
            reseed(generators_in(owner), seed)
            iterator = indices()
            drawn = list(islice(iterator, 1))  # a generator function draws only when it is asked for its first index
        return chain(drawn, iterator)

    def _begun(self) -> Iterator[Any]:
        return self.begin(self.sampler, lambda: indices_from(self.sampler, self.first))


class NumberedStream(NumberedSampler):
    """The same for a sampler that can ``skip``: its numbers count from the start of the training, across epochs."""

    def __iter__(self) -> Iterator[Draw]:
        """Iterate over the indices of the set epoch from ``first`` on, or without end if the sampler has none."""
        first = self.current_epoch * len(self) + self.first
        yield from self.numbered(self._begun(), epoch=0, first=first)

    def skip(self, num_samples: int) -> None:
        """Start iterations after so many indices of this rank."""
        self.first = num_samples


class NumberedBatches(Sampler[list[Draw]]):
    """Batches whose indices carry seeds, for a batch sampler that adds to the indices of its sampler or changes them.

    Args:
        batches: The batch sampler. What else it has can be used through this one. If it has ``batches_from(number)``
            and ``rows_a_batch``, no batch is made that is left out.
        run_seed: As for ``NumberedSampler``.

    Attributes:
        sampler: Its sampler, whose epoch MMEngine sets.
        first: How many batches iterations leave out.
    """

    def __init__(self, batches: Any, run_seed: Callable[[], int]) -> None:
        self.batches = batches
        self.sampler = NumberedSampler(batches.sampler, run_seed)
        self.first = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the batch sampler has, such as its ``batch_size``."""
        if name == "batches":  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        """Return the number of batches of an epoch on this rank."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Iterate over the batches of the set epoch, from ``first`` on."""
        epoch = self.sampler.current_epoch
        rows, batches = self._begun()
        for batch in batches:
            yield list(self.sampler.numbered(batch, epoch=epoch, first=rows))
            rows += len(batch)

    def _begun(self) -> tuple[int, Iterator[Any]]:
        """Return the number of rows that are left out, and an iterator over the batches that are not."""
        begin = self.sampler.begin
        if hasattr(self.batches, "batches_from"):
            begun = begin(self.batches, lambda: self.batches.batches_from(self.first))
            return self.first * self.batches.rows_a_batch, begun
        batches = begin(self.batches, lambda: iter(self.batches))
        return sum(len(batch) for batch in islice(batches, self.first)), batches
