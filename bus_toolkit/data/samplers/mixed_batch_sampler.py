"""Batches that hold rows of several sources, each in its share."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler

from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.data.samplers.source_streams import MixedRows
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATA_SAMPLERS
from bus_toolkit.signatures import did_you_mean

_log = logging.getLogger(__name__)
_NAME = "MixedBatchSampler"
LONGEST = "longest"


@DATA_SAMPLERS.register_module(name=_NAME)
def mixed_batch_sampler(
    sampler: DefaultSampler | InfiniteSampler,
    batch_size: int,
    *,
    weights: Mapping[str, float],
    epoch: str | int = LONGEST,
    buffer_shards: int = 8,
) -> BatchSampler:
    """Return a batch sampler that gives each source of ``MixedSources`` its share of every batch.

    Every batch on every rank holds the same number of rows of each source, so that all ranks run the same heads. The
    shares are fixed: ``batch_size`` is split by ``weights`` with the largest remainders rounded up, and a source whose
    share is less than a row gets one. Weights that add up to ``batch_size`` are therefore the rows themselves; the log
    reports them. Shares between two roundings need a larger batch.

    A source is an endless stream of passes, each over all of its rows in a new order that follows from seed, name and
    number of the pass. Batch after batch takes the rows that come next, across the ends of passes and epochs: a short
    source comes round several times an epoch, a long one goes on where the epoch before ended, and none loses a row.
    The ranks take turns in one stream, so that two processes with half the rows see the batches of one. The stream of a
    ``ShardDataset`` is ``EndlessShardSampler``'s, nearly in sequence, with a run of shards for each rank; its order
    depends on the number of ranks. A source of ``boxed_only`` rows is shuffled as a whole.

    Both of MMEngine's loops resume with the batches that follow, in mid-epoch as well.
    Slot: ``train_dataloader.batch_sampler``.

    Args:
        sampler: ``DefaultSampler``, or ``InfiniteSampler`` for epochs that follow each other without end inside; its
            data set, seed and ``shuffle`` are used (false: all sources in order).
        batch_size: Rows of a batch on this rank.
        weights: Share of every source, by name, above 0.
        epoch: What an epoch is, which schedules go by: a pass over the source of this name, rounded down to whole
            batches; over the source that takes ``longest``; or a number of batches.
        buffer_shards: Shards that are mixed, where a source has shards.

    Raises:
        DataError: Another data set or sampler, weights that do not fit the sources, a batch too small to hold all
            sources, an epoch that is none of these.
    """
    if not isinstance(sampler, DefaultSampler | InfiniteSampler):
        raise DataError(
            f"{_NAME}.sampler: must be DefaultSampler or InfiniteSampler, got {type(sampler).__name__}. The orders are "
            "made here; set train_dataloader.sampler.type to one of them."
        )
    dataset = sampler.dataset
    if not isinstance(dataset, MixedSources):
        raise DataError(
            f"{_NAME}: the data set must be MixedSources, got {type(dataset).__name__}. "
            "Set train_dataloader.dataset.type to MixedSources, or use RegionBatchSampler."
        )
    _check_weights(weights, dataset)
    rows = rows_a_batch({name: weights[name] for name in dataset.sources}, batch_size)
    num_batches = _batches_an_epoch(epoch, dataset, rows)
    given = ", ".join(f"{name} {count}" for name, count in rows.items())
    _log.info("%s: rows a batch on each rank: %s; %d batches an epoch.", _NAME, given, num_batches)
    mixed = MixedRows(sampler, rows, num_batches=num_batches, buffer_shards=buffer_shards)
    # Why this is a function and no subclass: a resumed training moves the sampler forward within torch's own class.
    return BatchSampler(mixed, batch_size, drop_last=True)


def rows_a_batch(weights: Mapping[str, float], batch_size: int) -> dict[str, int]:
    """Split a batch by weights above 0: largest remainders are rounded up, and every source gets a row at least.

    Raises:
        DataError: There are more sources than rows.
    """
    if batch_size < len(weights):
        raise DataError(
            f"{_NAME}.batch_size: must be at least {len(weights)}, a row for each source, got {batch_size}. "
            "Raise train_dataloader.batch_size."
        )
    rows: dict[str, int] = {}
    shared = dict(weights)
    left = batch_size
    while small := [name for name, weight in shared.items() if left * weight < sum(shared.values())]:
        rows |= dict.fromkeys(small, 1)
        left -= len(small)
        shared = {name: weight for name, weight in shared.items() if name not in rows}
    quotas = {name: left * weight / sum(shared.values()) for name, weight in shared.items()}
    rows |= {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda name: rows[name] - quotas[name])
    for name in by_remainder[: batch_size - sum(rows.values())]:
        rows[name] += 1
    return {name: rows[name] for name in weights}


def _check_weights(weights: Mapping[str, float], dataset: MixedSources) -> None:
    for name in weights:
        if name not in dataset.sources:
            raise DataError(
                f"{_NAME}.weights.{name}: no such source.{did_you_mean(str(name), dataset.sources)} "
                f"Sources: {', '.join(dataset.sources)}."
            )
    missing = [name for name in dataset.sources if name not in weights]
    if missing:
        raise DataError(
            f"{_NAME}.weights: every source needs one, got none for {', '.join(missing)}. "
            "Give it a share above 0, or leave the source out."
        )
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 < weight < math.inf:
            raise DataError(f"{_NAME}.weights.{name}: must be a number above 0, got {weight!r}.")


def _batches_an_epoch(epoch: str | int, dataset: MixedSources, rows: Mapping[str, int]) -> int:
    """Return how many whole batches an epoch has, at least one."""
    if isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 1:
        return epoch
    _, world_size = get_dist_info()
    passes = {name: max(1, len(dataset.rows_of(name)) // (count * world_size)) for name, count in rows.items()}
    if epoch == LONGEST:
        return max(passes.values())
    if epoch not in passes:
        raise DataError(
            f"{_NAME}.epoch: must be a source ({', '.join(passes)}), {LONGEST} or a number of batches from 1, "
            f"got {epoch!r}.{did_you_mean(str(epoch), passes)}"
        )
    return passes[str(epoch)]
