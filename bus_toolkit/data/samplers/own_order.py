"""A rank's part of the order of MMEngine's ``DefaultSampler``, without a list of the rows of all ranks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.dataset import DefaultSampler

_AT_A_TIME = 1 << 16


def own_order(sampler: DefaultSampler, first: int) -> Iterator[int]:
    """Iterate over the rows that ``sampler`` gives this rank in its set epoch, from number ``first`` on.

    They are the rows of its own iterator, which makes one Python list of all rows on every rank: at 14 million rows 0.9
    GB in each of them. A tensor of this rank's rows takes 8 bytes a row.

    Args:
        sampler: MMEngine's own, no subclass.
        first: 0 or more.
    """
    count = len(sampler.dataset)
    # Past the end the order starts again, where the ranks are rounded up to equally many rows.
    end = max(sampler.total_size, sampler.rank)
    places = torch.arange(sampler.rank, end, sampler.world_size)[first:]
    if sampler.shuffle:
        generator = torch.Generator().manual_seed(sampler.seed + sampler.epoch)
        rows = torch.randperm(count, generator=generator)[places % count]
    else:
        rows = places % count
    for block in rows.split(_AT_A_TIME):
        yield from block.tolist()
