"""A shuffled order of sharded samples that reads the shards nearly in sequence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardShuffleSampler(Sampler[int]):
    """Shuffle shards, cut their sequence into one run a rank, and shuffle each run in buffers of a few shards.

    A rank holds few shards open and reads each of its own once an epoch, while batches mix samples of
    ``buffer_shards`` shards; the shards of a buffer, and those of a rank, differ from epoch to epoch. The order follows
    from seed, epoch and number of ranks. Every sample comes once an epoch; with ``round_up`` a few of the first come
    again where the ranks could not get equally many otherwise, as in MMEngine's ``DefaultSampler``.

    A resumed training goes on with the sample that follows, without reading what was used. Slot: ``sampler`` of a data
    loader.

    Args:
        dataset: A ``ShardDataset``; anything with ``shard_sizes``.
        buffer_shards: Shards that are mixed. More mix better; all of them is a shuffle of everything a rank reads.
        seed: Seed of the order, the same on all ranks; ``None`` for one they agree on.
        round_up: Give all ranks equally many samples; a training with several ranks needs it.

    Raises:
        DataError: A data set without shards, or no shard to mix.
    """

    def __init__(
        self, dataset: Sized, *, buffer_shards: int = 8, seed: int | None = None, round_up: bool = True
    ) -> None:
        name = type(self).__name__
        sizes = getattr(dataset, "shard_sizes", None)
        if sizes is None:
            raise DataError(
                f"{name}: the data set has no shards, got {type(dataset).__name__} without shard_sizes. "
                "Use ShardDataset, or DefaultSampler."
            )
        if buffer_shards < 1:
            raise DataError(f"{name}.buffer_shards: must be 1 or more, got {buffer_shards}.")
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.buffer_shards = buffer_shards
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self._sizes = np.asarray(sizes, dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        total = int(self._sizes.sum())
        self._run = math.ceil(total / self.world_size)
        # Where the run of this rank begins and ends in the sequence; past its end, the sequence starts again.
        self._begin, self._end = self.rank * self._run, (self.rank + 1) * self._run
        if not round_up:
            self._begin, self._end = min(self._begin, total), min(self._end, total)

    def __len__(self) -> int:
        """Return the number of samples of an epoch on this rank."""
        return self._end - self._begin

    def __iter__(self) -> Iterator[int]:
        """Iterate over the numbers of the samples of the set epoch."""
        return self._samples(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def _samples(self, epoch: int) -> Iterator[int]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._sizes))
        # Rank + 1: a 0 at the end of a seed changes nothing, and rank 0 would draw the order's numbers again.
        shuffle = np.random.default_rng([self.seed, epoch, self.rank + 1])
        pieces = self._pieces(order)
        while buffer := list(itertools.islice(pieces, self.buffer_shards)):
            yield from shuffle.permutation(np.concatenate(buffer)).tolist()

    def _pieces(self, order: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the samples that this rank takes of each shard, as numbers, shard by shard."""
        position = 0
        for shard in itertools.cycle(order.tolist()):
            if position >= self._end:
                return
            first = max(self._begin - position, 0)
            last = min(self._end - position, int(self._sizes[shard]))
            if first < last:
                yield np.arange(first, last) + self._starts[shard]
            position += int(self._sizes[shard])


@DATA_SAMPLERS.register_module()
class EndlessShardSampler(ShardShuffleSampler):
    """The epochs of ``ShardShuffleSampler`` one after the other without end, for MMEngine's ``IterBasedTrainLoop``.

    A resumed loop finds its place by arithmetic (``skip``). ``len`` is one epoch of this rank. Slot: ``sampler`` of a
    data loader.
    """

    _skipped = 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over epochs without end, from the place that ``skip`` reached."""
        epochs, rest = divmod(self._skipped, len(self))
        stream = itertools.chain.from_iterable(self._samples(epoch) for epoch in itertools.count(epochs))
        return itertools.islice(stream, rest, None)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the epochs follow one another inside."""

    def skip(self, num_samples: int) -> None:
        """Start the next iteration after so many samples of this rank, counted from the start of the training."""
        if num_samples < 0:
            raise DataError(f"EndlessShardSampler.skip: must be 0 or more, got {num_samples}.")
        self._skipped = num_samples
