"""Bytes of shards by offset, from files that are opened when they are first needed."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bus_toolkit.data.shards.shard_indices import has_changed
from bus_toolkit.data.shards.tar_index import Stamp


class ShardFiles:
    """Read from many files, of which few are open at a time.

    ``pread`` takes the offset with each call, so that processes forked from one that had files open may share those:
    there is no common position to disturb. A pickled copy opens its own.

    Args:
        paths: The files.
        stamps: Of the files when they were indexed.
        max_open: So many are kept open; the one that was not read for the longest time is closed for a new one.
    """

    def __init__(self, paths: Sequence[Path], stamps: Sequence[Stamp], *, max_open: int = 64) -> None:
        self.paths = list(paths)
        self.stamps = list(stamps)
        self.max_open = max_open
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle: everything but the open files."""
        return {**self.__dict__, "_open": OrderedDict()}

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of file number ``shard`` from ``offset`` on.

        Raises:
            OSError: They cannot be read.
            DataError: The file is not the one that was indexed.
        """
        if shard not in self._open:
            self._open[shard] = self._open_shard(shard)
            while len(self._open) > self.max_open:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        data = os.pread(self._open[shard].fileno(), size, offset)
        if len(data) != size:
            raise OSError(f"got {len(data)} of {size} bytes")
        return data

    def _open_shard(self, shard: int) -> BinaryIO:
        file = open(self.paths[shard], "rb", buffering=0)
        if not self.stamps[shard].has_same_content(Stamp.of(file)):
            file.close()
            raise has_changed(self.paths[shard])
        return file
