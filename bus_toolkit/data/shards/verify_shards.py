"""Read every sample of shards and name its faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bus_toolkit.data.datasets.bad_samples import READ_ERRORS, BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.data.shards.shard_indices import ShardIndices
from bus_toolkit.data.shards.shard_reader import ShardReader
from bus_toolkit.data.shards.tar_index import TarIndex, read_index
from bus_toolkit.data.transforms.load import LoadImageFromBytes
from bus_toolkit.errors import DataError, Problem


class ShardCheck(NamedTuple):
    """What became of the members of a shard: good samples, faults, and members of kinds that are not read, by kind."""

    path: Path
    num_good: int
    faults: list[Problem]
    passed_over: Mapping[str, int]


def verify_shards(paths: Sequence[Path]) -> Iterator[ShardCheck]:
    """Yield the result for each shard.

    Index files are neither used nor written. A shard that is cut off or no tar has one fault and no good sample.
    """
    for path in paths:
        index, faults = structure_of(path)
        if index is None:
            yield ShardCheck(path, 0, faults, {})
            continue
        reader = ShardReader(ShardIndices.of([path], [index]))
        bad = [fault for number in range(len(reader)) if (fault := _fault(reader, number))]
        yield ShardCheck(path, len(reader) - len(bad), faults + bad, index.passed_over)


def structure_of(path: Path) -> tuple[TarIndex | None, list[Problem]]:
    """Return the index of a shard and a fault for each member that belongs to no sample.

    There is no index, and one fault, if the shard is cut off or no tar.
    """
    try:
        index = read_index(path)
    except DataError as error:
        return None, error.problems
    return index, [Problem(f"{path}::{member}", reason) for member, reason in index.left_out]


def _fault(reader: ShardReader, number: int) -> Problem | None:
    try:
        sample = reader.read(number)
        check_caption(sample)
    except BadSample as error:
        return Problem(error.path, error.reason)
    try:
        LoadImageFromBytes()(sample)
    except READ_ERRORS as error:
        return Problem(sample["img_path"], str(error))
    return None
