"""Several data sets as one, whose samples say which of the model's heads they serve."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from numbers import Integral
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from bus_toolkit.data.datasets.texts_of_image import texts_of
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS

_KEYS = ("dataset", "objectives", "boxed_only")


@dataclass(frozen=True)
class MixedSource:
    """One part of ``MixedSources``.

    Attributes:
        dataset: Where its samples come from.
        rows: The rows of the data set that take part, in order.
        objectives: Names of the heads that its samples serve; ``None`` for all.
        boxed_only: Only its rows with boxes take part, each as a ``RegionRow``.
    """

    dataset: Any
    rows: Sequence[int] | np.ndarray
    objectives: tuple[str, ...] | None
    boxed_only: bool


@DATASETS.register_module()
class MixedSources(Dataset):
    """Join data sets end to end; each sample is marked with its source and with the heads that it serves.

    A training on several kinds of data at once: captions for the contrast and the language, images with boxes for
    patch-text matching. The data sample gets ``source``, the name, and ``objectives``, the names of the heads under
    ``model.heads`` that its row serves, or ``None`` for all; ``VLPModel`` computes each loss from the rows that serve
    it alone. Every batch has to hold rows of every source, as ``MixedBatchSampler`` deals them out. A sample
    that cannot be read is replaced by one of its own source, under the source's ``max_bad_samples``.

    Image ids are made different between sources, since two data sets count from 0 alike and rows of one id are never
    negatives of each other. So an image that two sources share counts as two. Slot: ``dataset`` of the training's
    data loader.

    Args:
        sources: By name, in the order of a batch's rows: ``dataset``, a config; ``objectives``, a list of heads or null
            for all; ``boxed_only``, true to draw rows with boxes alone, with a description of their own where the data
            set has descriptions (``RegionCaptionDataset.descriptions_file``). Pipelines pack with ``PackRegions`` and
            give images of one size.

    Raises:
        DataError: No source, an unknown or missing key, objectives that are no list of names, a source without rows.

    Attributes:
        sources: The parts by name.
    """

    def __init__(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        if not sources:
            raise DataError(
                "MixedSources.sources: must name at least one source, got none. "
                "Write e.g. sources: {captions: {dataset: {type: ...}, objectives: [itc, itm]}}."
            )
        self.sources = {name: _build(name, config) for name, config in sources.items()}
        self._names = list(self.sources)
        self._ends = list(accumulate(len(source.rows) for source in self.sources.values()))
        self._first_shape: tuple[str, tuple[int, ...]] | None = None

    @property
    def boxed_indices(self) -> np.ndarray:
        """Rows with boxes, for a ``RegionBatchSampler``; int64."""
        parts = [self.rows_of(name).start + _boxed(source) for name, source in self.sources.items()]
        return np.concatenate(parts)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return {"dataset": type(self).__name__, "sources": self._names}

    def __len__(self) -> int:
        """Return the number of rows of all sources."""
        return self._ends[-1]

    def rows_of(self, name: str) -> range:
        """Return the numbers of the rows of a source."""
        end = self._ends[self._names.index(name)]
        return range(end - len(self.sources[name].rows), end)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a sample through its source's pipeline.

        Raises:
            TooManyBadSamples: As the source's data set.
            DataError: Its image has another size than those of another source.
        """
        name = self._names[bisect_right(self._ends, index)]
        source = self.sources[name]
        row = int(source.rows[index - self.rows_of(name).start])
        packed = source.dataset[RegionRow(row) if source.boxed_only or isinstance(index, RegionRow) else row]
        for sample in texts_of(packed["data_samples"]):
            self._mark(sample, name)
        self._check_shape(name, tuple(packed["inputs"].shape))
        return packed

    def _mark(self, sample: Any, name: str) -> None:
        """Write into a data sample where it is from, and which heads it serves."""
        if self.sources[name].boxed_only:
            # Its group of rows has no captions that it would have to be kept from.
            sample.pop("region_only", None)
        if "image_id" in sample:
            sample.set_field(self._own_id(name, sample.image_id), "image_id", dtype=None)
        sample.set_field(name, "source", dtype=None)
        sample.set_field(self.sources[name].objectives, "objectives", dtype=None)

    def _own_id(self, name: str, image_id: Any) -> Any:
        number = self._names.index(name)
        if isinstance(image_id, Integral):
            # Numbers stay numbers, which the losses compare: source k gets those with remainder k.
            return int(image_id) * len(self._names) + number
        # The number comes first, since names and ids may hold slashes.
        return f"{number}/{name}/{image_id}"

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Report images of two sizes before stacking their batch fails."""
        first, expected = self._first_shape = self._first_shape or (name, shape)
        if name != first and shape != expected:
            raise DataError(
                f"MixedSources.sources.{name}: images of one batch have one size, got {shape} here and {expected} from "
                f"{first}. End both pipelines with the same Resize before PackRegions."
            )


def _build(name: str, config: Mapping[str, Any]) -> MixedSource:
    path = f"MixedSources.sources.{name}"
    if not isinstance(config, Mapping) or "dataset" not in config or set(config) - set(_KEYS):
        got = ", ".join(map(str, config)) if isinstance(config, Mapping) else repr(config)
        raise DataError(f"{path}: takes dataset (which it must have), objectives and boxed_only, got {got}.")
    objectives = config.get("objectives")
    if objectives is not None and not _are_names(objectives):
        raise DataError(
            f"{path}.objectives: must be a list of names under model.heads, or null for all, got {objectives!r}."
        )
    boxed_only = bool(config.get("boxed_only", False))
    dataset = DATASETS.build(dict(config["dataset"]))
    rows = getattr(dataset, "boxed_indices", ()) if boxed_only else range(len(dataset))
    if not len(rows):
        raise DataError(
            f"{path}: {type(dataset).__name__} has no rows{' with boxes' if boxed_only else ''}. "
            + ("Give it boxes, or set boxed_only to false." if boxed_only else "Leave the source out.")
        )
    return MixedSource(dataset, rows, None if objectives is None else tuple(objectives), boxed_only)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(name, str) for name in value)


def _boxed(source: MixedSource) -> np.ndarray:
    """Return which of a source's rows have boxes."""
    rows = range(len(source.rows)) if source.boxed_only else getattr(source.dataset, "boxed_indices", ())
    return np.asarray(rows, dtype=np.int64)
