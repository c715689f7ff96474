"""Batches in which rows from images that have boxes are in place of, or beside, those of the sampler."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, Sampler

from bus_toolkit.data.samplers.numbered import indices_from
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATA_SAMPLERS


class RegionRow(int):
    """An index whose row serves the patch-text loss only; a plain index to everything that does not ask."""


@DATA_SAMPLERS.register_module()
class RegionBatchSampler(BatchSampler):
    """Give each batch of a sampler rows of boxed images.

    Where few images have boxes, the patch-text loss needs rows drawn from those alone (COPA, arXiv 2308.03475, trains
    with boxes on 5 % of its images): ``region_batch_size`` appends rows that serve this loss only, ``boxed_rows`` makes
    a part of the batch itself such rows, which serve all losses and cost nothing extra, but repeat the texts of few
    images. Rows are drawn without repetition until all were used. What is drawn follows from seed, epoch, number of the
    batch and rank, so that a resumed epoch is the same; the ranks share one draw, so that two processes with half the
    batch see what one process sees. Slot: ``train_dataloader.batch_sampler``.

    Args:
        sampler: Gives the caption rows; its data set has ``boxed_indices``.
        batch_size: Caption rows of a batch on this rank.
        region_batch_size: Rows appended to it on this rank; 0 appends nothing.
        boxed_rows: So many of the ``batch_size`` rows are drawn from the boxed images, the others from the sampler.
        drop_last: Leave out a last batch that is not full.
        seed: Seed of the draw.

    Raises:
        DataError: A negative size, no row left to the sampler, or no boxed image to draw from.
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        *,
        region_batch_size: int = 0,
        boxed_rows: int = 0,
        drop_last: bool = True,
        seed: int = 0,
    ) -> None:
        if region_batch_size < 0:
            raise DataError(f"RegionBatchSampler.region_batch_size: must be 0 or more, got {region_batch_size}.")
        if not 0 <= boxed_rows < batch_size:
            raise DataError(
                f"RegionBatchSampler.boxed_rows: must be 0 or more and below the batch size {batch_size}, got "
                f"{boxed_rows}. The sampler gives the other rows."
            )
        super().__init__(sampler, batch_size, drop_last)
        self.region_batch_size = region_batch_size
        self.boxed_rows = boxed_rows
        self.seed = seed
        self.rank, self.world_size = get_dist_info()
        dataset = getattr(sampler, "dataset", None)
        is_used = bool(region_batch_size or boxed_rows)
        self.boxed = np.asarray(getattr(dataset, "boxed_indices", ()) if is_used else (), dtype=np.int64)
        # By stream: epoch and number of the pass, and what it draws.
        self._passes: dict[int, tuple[tuple[int, int], np.ndarray]] = {}
        if is_used and not len(self.boxed):
            raise DataError(
                "RegionBatchSampler: no image of the data set has boxes. "
                "Raise box_fraction, or set region_batch_size and boxed_rows to 0."
            )

    @property
    def rows_a_batch(self) -> int:
        """How many rows a whole batch has in all."""
        return self.batch_size + self.region_batch_size

    @property
    def sampled_rows(self) -> int:
        """How many rows of a batch the sampler gives."""
        return self.batch_size - self.boxed_rows

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over batches: the sampler's rows, then the drawn ones, those for the patch-text loss alone last."""
        return self.batches_from(0)

    def batches_from(self, first: int) -> Iterator[list[int]]:
        """Iterate over the batches of an epoch from number ``first`` on; nothing is drawn for those before it."""
        epoch = getattr(self.sampler, "epoch", 0)
        rows = indices_from(self.sampler, first * self.sampled_rows)
        for number, batch in enumerate(BatchSampler(rows, self.sampled_rows, self.drop_last), start=first):
            regions = self._drawn(epoch, number, self.region_batch_size)
            boxed = self._drawn(epoch, number, self.boxed_rows, stream=1)
            yield batch + boxed + [RegionRow(index) for index in regions]

    def __len__(self) -> int:
        """Return the number of batches: the sampler is read once."""
        return len(BatchSampler(self.sampler, self.sampled_rows, self.drop_last))

    def _drawn(self, epoch: int, number: int, size: int, stream: int = 0) -> list[int]:
        """Return ``size`` rows for batch ``number`` on this rank; streams do not share their draws."""
        share = size * self.world_size
        if share == 0:
            return []
        # One pass over the boxed rows serves so many batches; a batch that needs more than there are repeats rows.
        batches = max(1, len(self.boxed) // share)
        turn, place = divmod(number, batches)
        if stream not in self._passes or self._passes[stream][0] != (epoch, turn):
            self._passes[stream] = (epoch, turn), self._own_part(epoch, turn, (batches, share), stream)
        return self._passes[stream][1][place].tolist()

    def _own_part(self, epoch: int, turn: int, shape: tuple[int, int], stream: int) -> np.ndarray:
        """Draw a pass, once for all of its batches; return this rank's rows of each of them (batches, size)."""
        rng = np.random.default_rng([self.seed, epoch, turn] + [stream] * (stream > 0))
        batches, share = shape
        passes = [rng.permutation(len(self.boxed)) for _ in range(-(-share // len(self.boxed)))]
        chosen = np.concatenate(passes)[: batches * share].reshape(shape)
        return np.asarray(self.boxed[chosen[:, self.rank :: self.world_size]])
