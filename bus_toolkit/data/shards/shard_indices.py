"""The indices of many shards, of which a process holds those that it reads from.

Of every shard each process knows a few numbers and one bit a sample; an index, some 70 bytes a sample, is read from its
file when a sample of the shard is asked for, and let go for others. A process that reads a run of shards after the
other, as ``ShardShuffleSampler`` gives them, needs a few at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from bus_toolkit.data.shards.tar_index import Stamp, TarIndex
from bus_toolkit.errors import DataError

_NAMED = 3  # members without a sample, of a shard


@dataclass(frozen=True)
class ShardSummary:
    """What every process knows of a shard.

    Attributes:
        stamp: Of the shard when it was indexed.
        samples: How many it has.
        boxed: Which of them have boxes, a bit each; empty for none.
        left_out: The first members that belong to no sample, with the reason.
        num_left_out: How many there are.
        passed_over: Kinds of all other members, and how many of each there are.
    """

    stamp: Stamp
    samples: int
    boxed: bytes
    left_out: tuple[tuple[str, str], ...]
    num_left_out: int
    passed_over: Mapping[str, int]

    @classmethod
    def of(cls, index: TarIndex) -> ShardSummary:
        """Return that of an index."""
        boxed = np.packbits(index.boxed).tobytes() if index.boxed.any() else b""
        left_out = index.left_out[:_NAMED]
        return cls(index.stamp, len(index), boxed, left_out, len(index.left_out), dict(index.passed_over))

    def boxed_rows(self) -> np.ndarray:
        """Return the samples with boxes, by their place in the shard; int64."""
        bits = np.unpackbits(np.frombuffer(self.boxed, dtype=np.uint8), count=self.samples if self.boxed else 0)
        return np.flatnonzero(bits)


class ShardIndices(Sequence[TarIndex]):
    """The index of each shard, read when it is needed.

    Args:
        paths: The shards.
        summaries: What is known of them.
        load: Returns the index of a shard; what it reads is on the disk, but for ``held``.
        held: Indices that could not be written, which would have to be made again.
        most: So many samples' indices are held at most, or those of 16 shards, whatever is more.
    """

    _AT_LEAST = 16  # a buffer of ShardShuffleSampler has 8

    def __init__(
        self,
        paths: Sequence[Path],
        summaries: Sequence[ShardSummary],
        load: Any = None,  # a function of a path, which can be pickled
        held: Mapping[int, TarIndex] | None = None,
        *,
        most: int = 1_000_000,
    ) -> None:
        self.paths, self.summaries = list(paths), list(summaries)
        self._load, self._held, self._most = load, dict(held or {}), most
        self._recent: OrderedDict[int, TarIndex] = OrderedDict()
        self._samples = 0

    @classmethod
    def of(cls, paths: Sequence[Path], indices: Sequence[TarIndex]) -> ShardIndices:
        """Return those of indices that are there."""
        return cls(paths, [ShardSummary.of(index) for index in indices], held=dict(enumerate(indices)))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled for a worker: it reads the indices of its own shards."""
        return {**self.__dict__, "_recent": OrderedDict(), "_samples": 0}

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self.summaries)

    @overload
    def __getitem__(self, shard: int) -> TarIndex: ...

    @overload
    def __getitem__(self, shard: slice) -> list[TarIndex]: ...

    def __getitem__(self, shard: int | slice) -> TarIndex | list[TarIndex]:
        """Return the index of a shard.

        Raises:
            DataError: The shard has changed since it was indexed.
            IndexError: There is no such shard.
        """
        if isinstance(shard, slice):
            return [self[number] for number in range(*shard.indices(len(self)))]
        if shard in self._held:
            return self._held[shard]
        if shard not in self._recent:
            self.keep(shard, self._load(self.paths[shard]))
        self._recent.move_to_end(shard)
        return self._recent[shard]

    def keep(self, shard: int, index: TarIndex) -> None:
        """Hold an index that was read, and let go of those that were not needed for the longest time.

        Raises:
            DataError: It is of another content of the shard.
        """
        if not self.summaries[shard].stamp.has_same_content(index.stamp) or len(index) != self.summaries[shard].samples:
            raise has_changed(self.paths[shard])
        self._recent[shard] = index
        self._samples += len(index)
        while len(self._recent) > self._AT_LEAST and self._samples > self._most:
            self._samples -= len(self._recent.popitem(last=False)[1])


def has_changed(path: Path) -> DataError:
    """Return the error for a shard that is not the one that was indexed."""
    return DataError(f"{path}: the shard has changed since it was indexed. Start the run again.")
