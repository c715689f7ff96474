"""Batches with extra rows from images that have boxes, for the patch-text loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, Sampler

from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATA_SAMPLERS


class RegionRow(int):
    """An index whose row serves the patch-text loss only; a plain index to everything that does not ask."""


@DATA_SAMPLERS.register_module()
class RegionBatchSampler(BatchSampler):
    """Append indices of boxed images to each batch of a sampler.

    Where few images have boxes, the patch-text loss needs a micro-batch drawn from those alone (COPA, arXiv
    2308.03475, trains with boxes on 5 % of its images). Rows are drawn without repetition until all were used. What is
    drawn follows from seed, epoch, number of the batch and rank, so that a resumed epoch is the same; the ranks share
    one draw, so that two processes with half the batch see what one process sees. Slot:
    ``train_dataloader.batch_sampler``.

    Args:
        sampler: Gives the caption rows; its data set has ``boxed_indices``.
        batch_size: Caption rows of a batch on this rank.
        region_batch_size: Rows appended to it on this rank; 0 appends nothing.
        drop_last: Leave out a last batch that is not full.
        seed: Seed of the draw.

    Raises:
        DataError: A negative size, or no boxed image to draw from.
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        *,
        region_batch_size: int = 0,
        drop_last: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)
        if region_batch_size < 0:
            raise DataError(f"RegionBatchSampler.region_batch_size: must be 0 or more, got {region_batch_size}.")
        self.region_batch_size = region_batch_size
        self.seed = seed
        self.rank, self.world_size = get_dist_info()
        dataset = getattr(sampler, "dataset", None)
        self.boxed = list(getattr(dataset, "boxed_indices", ())) if region_batch_size else []
        if region_batch_size and not self.boxed:
            raise DataError(
                "RegionBatchSampler: no image of the data set has boxes. "
                "Raise box_fraction, or set region_batch_size to 0."
            )

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over batches: caption rows first, then the appended rows."""
        epoch = getattr(self.sampler, "epoch", 0)
        for number, batch in enumerate(super().__iter__()):
            yield batch + [RegionRow(index) for index in self._rows(epoch, number)]

    def _rows(self, epoch: int, number: int) -> list[int]:
        """Return the appended rows of batch ``number`` on this rank."""
        share = self.region_batch_size * self.world_size
        if share == 0:
            return []
        # One pass over the boxed rows serves so many batches; a batch that needs more than there are repeats rows.
        batches = max(1, len(self.boxed) // share)
        rng = np.random.default_rng([self.seed, epoch, number // batches])
        passes = [rng.permutation(len(self.boxed)) for _ in range(-(-share // len(self.boxed)))]
        chosen = np.concatenate(passes)[number % batches * share :][:share]
        return [self.boxed[i] for i in chosen[self.rank :: self.world_size]]
