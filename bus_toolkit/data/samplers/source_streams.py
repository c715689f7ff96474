"""Endless streams of the rows of several sources, and the order in which batches take from them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.data.samplers.shard_samplers import EndlessShardSampler
from bus_toolkit.errors import DataError


class MixedRows(Sampler[int]):
    """The rows of ``MixedSources`` in the order of their batches, for a plain ``BatchSampler`` to cut.

    Args:
        sampler: Gives the data set, the seed, whether to shuffle, and whether epochs end (``InfiniteSampler``: no).
        rows: Rows of each source in a batch on this rank; batches hold them in this order.
        num_batches: Batches of an epoch.
        buffer_shards: Shards that are mixed, where a source has shards.
    """

    def __init__(
        self,
        sampler: DefaultSampler | InfiniteSampler,
        rows: Mapping[str, int],
        *,
        num_batches: int,
        buffer_shards: int,
    ) -> None:
        self.dataset: MixedSources = sampler.dataset
        self.rows = rows
        self.num_batches = num_batches
        self.endless = isinstance(sampler, InfiniteSampler)
        self.epoch = 0
        self._first_batch = 0
        seed = int(sampler.seed) if sampler.shuffle else None
        self._streams = {name: source_stream(self.dataset, name, seed, buffer_shards) for name in rows}

    def __len__(self) -> int:
        """Return the number of rows of an epoch on this rank."""
        return self.num_batches * sum(self.rows.values())

    def __iter__(self) -> Iterator[int]:
        """Iterate over the rows of the set epoch, or without end."""
        begin = self.epoch * self.num_batches + self._first_batch
        streams = [
            (stream.rows_from(begin * self.rows[name]), self.rows[name]) for name, stream in self._streams.items()
        ]
        end = (self.epoch + 1) * self.num_batches
        for _ in itertools.count() if self.endless else range(begin, end):
            for stream, count in streams:
                yield from itertools.islice(stream, count)

    def set_epoch(self, epoch: int) -> None:
        """Choose the rows of the next iteration; an endless one goes through its epochs by itself."""
        self.epoch = 0 if self.endless else epoch

    def skip(self, num_samples: int) -> None:
        """Leave out so many rows of this rank of the set epoch, or of the training where it has no end."""
        if num_samples < 0:
            raise DataError(f"MixedBatchSampler.skip: must be 0 or more, got {num_samples}.")
        self._first_batch = num_samples // sum(self.rows.values())


class SourceStream(Protocol):
    """A source's rows without end, as one rank gets them."""

    def rows_from(self, first: int) -> Iterator[int]:
        """Iterate from this rank's row number ``first`` on, counted from the start of the training."""


def source_stream(dataset: MixedSources, name: str, seed: int | None, buffer_shards: int) -> SourceStream:
    """Return the stream of a source; ``None`` for a seed keeps its order."""
    source, numbers = dataset.sources[name], dataset.rows_of(name)
    key = zlib.crc32(name.encode())
    if seed is not None and not source.boxed_only and hasattr(source.dataset, "shard_sizes"):
        shards = EndlessShardSampler(source.dataset, buffer_shards=buffer_shards, seed=seed + key)
        return _ShardStream(shards, numbers)
    return _ShuffledStream(numbers, None if seed is None else (seed, key))


class _ShuffledStream:
    """Pass after pass over all rows, each shuffled again; the ranks take turns."""

    def __init__(self, numbers: Sequence[int], seeds: tuple[int, int] | None) -> None:
        self.numbers = numbers
        self.seeds = seeds
        self.rank, self.world_size = get_dist_info()

    def rows_from(self, first: int) -> Iterator[int]:
        current, order = -1, np.arange(len(self.numbers))
        for place in itertools.count(first * self.world_size + self.rank, self.world_size):
            number, within = divmod(place, len(self.numbers))
            if number != current and self.seeds is not None:
                # NumPy ignores a 0 at the end of a seed, so the pass, which may be 0, is not the last number.
                order = np.random.default_rng([self.seeds[0], number, self.seeds[1]]).permutation(len(self.numbers))
                current = number
            yield self.numbers[int(order[within])]


class _ShardStream:
    """The rows of a source in shards, nearly in sequence."""

    def __init__(self, sampler: EndlessShardSampler, numbers: Sequence[int]) -> None:
        self.sampler = sampler
        self.numbers = numbers

    def rows_from(self, first: int) -> Iterator[int]:
        self.sampler.skip(first)
        return (self.numbers[place] for place in self.sampler)
