"""Indices kept as files: written atomically, loaded without running code, used only for the shard they are of."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info, is_distributed

from bus_toolkit.data.shards.index_content import DamagedIndex, pack, read_content
from bus_toolkit.data.shards.shard_indices import ShardIndices, ShardSummary
from bus_toolkit.data.shards.shard_paths import INDEX_SUFFIX
from bus_toolkit.data.shards.tar_index import Stamp, TarIndex, read_index
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.shared_work import for_all_ranks
from bus_toolkit.writing import remove_stale, whole_file

_log = logging.getLogger(__name__)

_MAX_REPORTED = 10


def load_indices(paths: Sequence[Path], index_dir: str | None = None) -> ShardIndices:
    """Return the indices of shards; of several processes each examines a share of them, and makes what is missing.

    Args:
        paths: The shards.
        index_dir: Folder for the index files; ``None`` for beside each shard.

    Raises:
        DataError: Shards that cannot be indexed; all of them are reported, in every process.
    """
    rank, world_size = get_dist_info()
    share = range(rank, len(paths), world_size)
    new = sum(not index_file(paths[place], index_dir).is_file() for place in share)
    if new:
        for folder in {index_file(paths[place], index_dir).parent for place in share} if rank == 0 else ():
            remove_stale(folder, rf".+{re.escape(INDEX_SUFFIX)}")
        _log.info("indexing %d of %d shards, once: about 0.2 ms a sample", new, len(paths))
    summaries, problems, unsaved = for_all_ranks(lambda: _summarise(paths, share, index_dir)) or ({}, [], {})
    if is_distributed():
        parts = all_gather_object((summaries, problems))
        summaries = {place: one for part, _ in parts for place, one in part.items()}
        problems = [problem for _, part in parts for problem in part]
    if problems:
        more = [f"... and {len(problems) - _MAX_REPORTED} more shards"] if len(problems) > _MAX_REPORTED else []
        raise DataError("\n".join(problems[:_MAX_REPORTED] + more))
    load = partial(load_index, index_dir=index_dir)
    return ShardIndices(paths, [summaries[place] for place in range(len(paths))], load, unsaved)


def _summarise(
    paths: Sequence[Path], share: range, index_dir: str | None
) -> tuple[dict[int, ShardSummary], list[str], dict[int, TarIndex]]:
    """Return what is known of a share of the shards, what is wrong with others, and indices that no file has."""
    summaries: dict[int, ShardSummary] = {}
    problems: list[str] = []
    unsaved: dict[int, TarIndex] = {}
    for place in share:
        try:
            index = load_index(paths[place], index_dir)
        except DataError as error:
            problems.append(str(error))
            continue
        summaries[place] = ShardSummary.of(index)
        if not index_file(paths[place], index_dir).is_file():
            unsaved[place] = index
    return summaries, problems, unsaved


def load_index(path: Path, index_dir: str | None = None) -> TarIndex:
    """Return the index of a shard from its file; make it again if that is missing, damaged or of another shard.

    A folder that cannot be written leaves the index in memory, with a warning.

    Raises:
        DataError: The shard cannot be indexed.
    """
    file = index_file(path, index_dir)
    try:
        with open(path, "rb") as shard:
            stamp = Stamp.of(shard)
        index = read_content(file, stamp)
        if index.stamp == stamp:
            return index
        _log.info("%s has changed since it was indexed; indexing it again", path)
    except FileNotFoundError:
        pass
    except DamagedIndex as error:
        _log.warning("%s is no index (%s); indexing %s again", file, error, path)
    index = read_index(path)
    try:
        _write(file, index)
    except OSError as error:
        _warn_unwritable(file.parent, error.strerror)
    return index


@cache  # each folder is reported once, however many shards it has
def _warn_unwritable(folder: Path, reason: str | None) -> None:
    _log.warning(
        "%s cannot be written (%s): its shards will be indexed again next time. Set index_dir to a folder that you may "
        "write to.",
        folder,
        reason,
    )


def index_file(path: Path, index_dir: str | None = None) -> Path:
    """Return the path of a shard's index; in a shared folder its name distinguishes shards of equal names."""
    if index_dir is None:
        return path.with_name(path.name + INDEX_SUFFIX)
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    return expand_home(index_dir) / f"{path.name}-{digest}{INDEX_SUFFIX}"


def _write(file: Path, index: TarIndex) -> None:
    with whole_file(file) as temporary, open(temporary, "wb") as out:
        np.savez(out, **pack(index))  # compressed it is read ten times slower, and it is read often
