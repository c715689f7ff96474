"""A part of a data set, spread over all of it: for validations that must be short."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EvenlySpacedSampler(Sampler[int]):
    """Give one row of each of ``num_samples`` equal stretches, always the same; goes into ``sampler`` of a data loader.

    The place in its stretch is drawn with a fixed seed: at equal distances a data set that repeats itself, such as one
    with eight kinds of questions an image in a fixed order, would show some kinds alone. Several processes take turns.

    Args:
        dataset: Given by MMEngine.
        num_samples: Rows, 1 or more; all of them if the data set has no more.
        seed: Given by MMEngine, and not used.

    Raises:
        ConfigError: No row.
    """

    def __init__(self, dataset: Sized, num_samples: int, seed: int | None = None) -> None:
        if num_samples < 1:
            raise ConfigError(
                f"EvenlySpacedSampler.num_samples: must be at least 1, got {num_samples}. Leave the sampler out to "
                "take all rows."
            )
        self.dataset, self.num_samples = dataset, num_samples
        self._rank, self._world_size = get_dist_info()

    def _rows(self) -> list[int]:
        size = len(self.dataset)
        count = min(self.num_samples, size)
        borders = np.arange(count + 1) * size // count
        rows = np.random.default_rng(0).integers(borders[:-1], borders[1:])
        return rows.tolist()[self._rank :: self._world_size]

    def __iter__(self) -> Iterator[int]:
        """Iterate over the rows of this process."""
        return iter(self._rows())

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self._rows())
