"""Shares of images whose class is among the nearest ones."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import TopKAccuracy


def samples(truths, nearest):
    return [
        {"gt_label": torch.tensor([truth]), "pred_classes": torch.tensor(row)}
        for truth, row in zip(truths, nearest, strict=True)
    ]


def test_the_right_class_counts_from_its_place_on() -> None:
    metric = TopKAccuracy([1, 2, 3])
    metric.process({}, samples([4, 1, 7, 2], [[4, 1, 0], [2, 1, 0], [0, 1, 7], [5, 6, 0]]))
    assert metric.evaluate(4) == {
        "zero_shot/accuracy@1": 1 / 4,
        "zero_shot/accuracy@2": 2 / 4,
        "zero_shot/accuracy@3": 3 / 4,
        "zero_shot/num_images": 4.0,
    }


def test_fewer_classes_than_k_are_refused() -> None:
    message = "TopKAccuracy.topk: must be at most the 2 classes that ZeroShotLoop.keep leaves, got 5"
    with pytest.raises(ConfigError, match=message):
        TopKAccuracy().process({}, samples([0], [[0, 1]]))
