"""The kit names the fault of transforms, data sets, metrics and hooks that are broken on purpose."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample

from bus_toolkit.data import RandomFlipWithText
from bus_toolkit.evaluation import SampleMetric
from bus_toolkit.testing import ConformanceError, check_dataset, check_hook, check_metric, check_transform


class Unseeded(BaseTransform):
    def transform(self, results: dict) -> dict:
        results["img"] = np.full_like(results["img"], secrets.randbelow(256))
        return results


class Mute(BaseTransform):
    def transform(self, results: dict) -> dict:
        return {**results, "text": ""}


class LosesBoxes(BaseTransform):
    def transform(self, results: dict) -> dict:
        return {**results, "gt_bboxes": results["gt_bboxes"][:1]}


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (Unseeded, "repeatable: two runs with one seed differ"),
        (Mute, "sample: the caption is ''"),
        (LosesBoxes, "sample: there are 1 boxes and 2 entries of named"),
    ],
)
def test_broken_transforms_are_caught_by_name(part: type, what: str) -> None:
    check_transform(RandomFlipWithText, prob=1.0)
    with pytest.raises(ConformanceError, match=what):
        check_transform(part)


class Squares:
    """A sound data set without a pipeline."""

    metainfo: dict = {}

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict:
        sample = DataSample()
        sample.set_field(f"picture {index}", "text")
        sample.set_field(index, "image_id", field_type="metainfo")
        return {"inputs": torch.zeros(3, 32, 32, dtype=torch.uint8), "data_samples": sample}


class Empty(Squares):
    def __len__(self) -> int:
        return 0


class Unpacked(Squares):
    def __getitem__(self, index: int) -> dict:
        return {"img": np.zeros((32, 32, 3))}


def test_broken_data_sets_are_caught_by_name() -> None:
    check_dataset(Squares)
    with pytest.raises(ConformanceError, match="items: it is empty"):
        check_dataset(Empty)
    with pytest.raises(ConformanceError, match="item 0 has no inputs and no data_samples"):
        check_dataset(Unpacked)


class LastBatch(SampleMetric):
    def process(self, data_batch: object, data_samples: list) -> None:
        self.results = [{"size": len(data_samples)}]

    def row(self, sample: dict) -> dict:
        return {}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        return {"size": float(rows[-1]["size"])}


class Editing(SampleMetric):
    def row(self, sample: dict) -> dict:
        sample["text"] = ""
        return {"length": 0}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        return {"length": 0.0}


def test_broken_metrics_are_caught_by_name() -> None:
    with pytest.raises(ConformanceError, match="batches: size is 3.0 for one batch of three and 1.0 for three of one"):
        check_metric(LastBatch)
    with pytest.raises(ConformanceError, match="samples_untouched: it edits the samples"):
        check_metric(Editing)


class Stops(Hook):
    def after_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        raise KeyError("loss_mine")


def test_a_broken_hook_is_caught_by_name() -> None:
    check_hook(Hook)
    with pytest.raises(ConformanceError, match=r"training: it crashed with KeyError: 'loss_mine' \(test_samples.py:"):
        check_hook(Stops)
    with pytest.raises(ConformanceError, match="kind: it is no mmengine Hook but a Squares"):
        check_hook(Squares)
