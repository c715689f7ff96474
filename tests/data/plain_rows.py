"""Data sets without files, to mix in tests: a row's text names its data set and its number."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dataset import DefaultSampler
from mmpretrain.structures import DataSample

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.registry import DATASETS


@DATASETS.register_module(force=True)
class PlainRows(SampleDataset):
    """Rows "<name> <number>", "<name> region <number>" for region rows; ``bad`` ones cannot be read."""

    def __init__(self, name: str, size: int, boxed: Any = (), bad: Any = (), side: int = 8, word_ids: bool = False):
        super().__init__([self.pack], size=size, max_bad_samples=len(bad))
        self.name, self.bad_rows, self.side, self.word_ids = name, bad, side, word_ids
        self.boxed_indices = list(boxed)

    def get_data_info(self, index):
        if index in self.bad_rows:
            raise BadSample(f"{self.name} {index}", "is bad")
        image_id = f"image {index}" if self.word_ids else index
        return {"img_path": "", "text": f"{self.name} {index}", "image_id": image_id}

    def get_region_info(self, index):
        return {**self.get_data_info(index), "text": f"{self.name} region {index}"}

    def pack(self, info):
        sample = DataSample()
        for key, value in info.items():
            sample.set_field(value, key, dtype=None)
        return {"inputs": torch.zeros(3, self.side, self.side), "data_samples": sample}


def plain(name: str, size: int, objectives: Any = None, boxed_only: bool = False, **options: Any) -> dict[str, Any]:
    """Return the config of a source."""
    dataset = {"type": "bus_toolkit.PlainRows", "name": name, "size": size, **options}
    return {"dataset": dataset, "objectives": objectives, "boxed_only": boxed_only}


def mixed(**sizes: int) -> MixedSources:
    """Return sources of so many rows each."""
    return MixedSources({name: plain(name, size) for name, size in sizes.items()})


def sampler_of(data: MixedSources, kind: type = DefaultSampler, **options: Any) -> Any:
    """Return a sampler as MMEngine would build it."""
    return kind(data, **{"seed": 3, "shuffle": True, **options})
