"""Images with all of their captions, to score the captions that a model writes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from torch.utils.data import Dataset

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class CaptionedImages(Dataset):
    """One sample an image from a data set that has one a caption.

    An image is its first row there, and its data sample gets ``references``, the captions of all of its rows, for
    ``CaptionMetrics``: so an image is encoded and described once. Slot: ``dataset`` of a data loader for evaluation, or
    for a training with ``SelfCriticalCaptionHead``.

    Args:
        dataset: Config of the data set, such as ``SceneDataset`` or ``RegionCaptionDataset``; rows of one image have
            the same ``image_id``. Its pipeline packs with ``PackRegions`` and changes no caption. A row
            without a caption is no reference; it counts as a bad sample there.

    Raises:
        DataError: More bad rows than ``max_bad_samples`` of the data set, or any if it has no such limit.
    """

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        self.dataset = DATASETS.build(dict(dataset))
        self.rows: list[int] = []
        self.references: dict[Hashable, list[str]] = {}
        for row in range(len(self.dataset)):
            try:
                info = self.dataset.get_data_info(row)
                check_caption(info)
            except BadSample as error:
                self._count(row, error)
                continue
            if info["image_id"] not in self.references:
                self.rows.append(row)
            self.references.setdefault(info["image_id"], []).append(info["text"])

    def _count(self, row: int, error: BadSample) -> None:
        """Count a row without a usable caption as the data set counts its bad samples; it stops above its limit."""
        counter = getattr(self.dataset, "bad", None)
        if counter is None:
            raise DataError(f"CaptionedImages.dataset: row {row}: {error}. Repair or remove it.") from error
        counter.add(row, error)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image's sample, with its references."""
        packed = self.dataset[self.rows[index]]
        sample = packed["data_samples"]
        # By the sample's own id: another image may replace one that cannot be read.
        sample.set_field(self.references[sample.image_id], "references", dtype=None)
        return packed
