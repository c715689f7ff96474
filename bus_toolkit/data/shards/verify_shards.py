"""Read every sample of shards and name what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bus_toolkit.data.bad_samples import READ_ERRORS, BadSample
from bus_toolkit.data.shards.load_image import LoadImageFromBytes
from bus_toolkit.data.shards.shard_reader import ShardReader
from bus_toolkit.data.shards.tar_index import read_index
from bus_toolkit.errors import DataError


def verify_shards(paths: Sequence[Path]) -> Iterator[tuple[Path, int, list[str]]]:
    """Yield each shard, the number of its good samples, and a line for each of its faults.

    Index files are neither used nor written. A shard that is cut off or no tar has one line and no good sample.
    """
    for path in paths:
        try:
            index = read_index(path)
        except DataError as error:
            yield path, 0, [str(error)]
            continue
        reader = ShardReader([path], [index])
        faults = [f"{path}::{told}" for told in index.left_out]
        bad = [fault for number in range(len(reader)) if (fault := _fault(reader, number))]
        yield path, len(reader) - len(bad), faults + bad


def _fault(reader: ShardReader, number: int) -> str | None:
    try:
        sample = reader.read(number)
    except BadSample as error:
        return str(error)
    path, text = sample["img_path"], sample["text"]
    if not isinstance(text, str) or not text.strip():
        return f"{path}: the caption is {'empty' if isinstance(text, str) else f'not text, got {text!r}'}"
    try:
        LoadImageFromBytes()(sample)
    except READ_ERRORS as error:
        return f"{path}: {error}"
    return None
