"""A data set whose random numbers follow from the seed that comes with each index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset, get_worker_info

from bus_toolkit.data.datasets.own_generators import generators_in, reseed
from bus_toolkit.data.datasets.texts_of_image import texts_of
from bus_toolkit.data.samplers.numbered import Draw
from bus_toolkit.draws import kept_generators, seed_cpu_generators
from bus_toolkit.step.image_ids import DATA_ROW


class SeededSamples(Dataset):
    """Read any data set by index, with the global generators seeded for each sample.

    Python's, NumPy's and torch's generators are seeded, whichever of them a transform uses. Where the process that
    trains reads, they are afterwards as they were. Generators that the data set and its transforms keep as attributes
    are seeded, too. One that is made without a seed for each sample (``numpy.random.default_rng()``) stays random.

    A data sample without ``image_id`` gets the number of its row as ``data_row``, by which the losses know its image
    again in later steps and epochs.

    Everything else is that of the data set: attributes are read from it and set in it.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.__setstate__(dataset)

    def __getattr__(self, name: str) -> Any:
        """Return what the data set has."""
        if name in ("dataset", "_generators"):  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the data set: hooks that change its ``pipeline`` reach it."""
        setattr(self.dataset, name, value)
        object.__setattr__(self, "_generators", None)

    def __getstate__(self) -> Any:
        """Return what is pickled for a worker."""
        return self.dataset

    def __setstate__(self, state: Any) -> None:
        """Take it up again."""
        object.__setattr__(self, "dataset", state)
        object.__setattr__(self, "_generators", None)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: Draw | int) -> Any:
        """Return a sample; of a plain index as the data set gives it."""
        return self.__getitems__([index])[0] if isinstance(index, Draw) else self.dataset[index]

    def __getitems__(self, draws: Sequence[Draw]) -> list[Any]:
        """Return the samples of a batch; torch calls it where it is there."""
        if get_worker_info() is not None:  # a worker draws for nothing else
            return [self._read(draw) for draw in draws]
        with kept_generators():
            return [self._read(draw) for draw in draws]

    def _read(self, draw: Draw) -> Any:
        if self._generators is None:  # at the first sample, when all that reads it is there
            object.__setattr__(self, "_generators", generators_in(self.dataset))
        seed_cpu_generators(draw.seed)
        reseed(self._generators, draw.seed)
        item = self.dataset[draw.row]
        if isinstance(item, Mapping) and isinstance(draw.row, int):
            _number(item.get("data_samples"), draw.row)
        return item


def _number(samples: Any, row: int) -> None:
    """Write the number of their row into data samples that have no image id."""
    for sample in texts_of(samples):
        if isinstance(sample, BaseDataElement) and sample.get("image_id") is None:
            sample.set_field(int(row), DATA_ROW, field_type="metainfo", dtype=None)
