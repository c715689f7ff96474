"""The same pictures in fewer pixels: by the mean of areas, boxes follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from bus_toolkit.config.smaller_data import shrink_data
from bus_toolkit.registry import TRANSFORMS

LOAD, PACK = {"type": "LoadImage"}, {"type": "PackRegions"}
RESIZE = {"type": "mmpretrain.Resize", "scale": [24, 16], "interpolation": "area"}


def test_each_pipeline_reduces_its_image_before_it_is_packed() -> None:
    inner = {"type": "COCORetrieval", "pipeline": []}
    config: dict[str, Any] = {
        "train_dataloader": {"dataset": {"type": "SceneTask", "reader": {"pipeline": [LOAD, PACK]}}},
        "val_dataloader": {
            "dataset": {"sources": [{"dataset": inner, "pipeline": [LOAD, {"type": "CleanText"}, PACK]}]}
        },
        "test_dataloader": {"dataset": {"pipeline": [{"type": "ApplyToList", "transforms": [LOAD]}, PACK]}},
    }
    changes, notes = shrink_data(config, (16, 24))
    assert changes == {
        "train_dataloader.dataset.reader.pipeline": [LOAD, RESIZE, PACK],
        "val_dataloader.dataset.sources.0.pipeline": [LOAD, {"type": "CleanText"}, RESIZE, PACK],
    }
    assert [note.split(":")[0] for note in notes] == ["test_dataloader"] and "arrive at 16x24 px" in notes[0]


def test_a_loader_with_one_pipeline_that_is_not_reduced_is_reported() -> None:
    pairs = {"pipeline": [{"type": "ApplyToList", "transforms": [LOAD]}, PACK]}
    changes, notes = shrink_data({"train_dataloader": {"dataset": {"datasets": [{"pipeline": [PACK]}, pairs]}}}, (8, 8))
    assert list(changes) == ["train_dataloader.dataset.datasets.0.pipeline"]
    assert notes == ["train_dataloader: not every pipeline was recognised. Make sure that images arrive at 8 px."]


def test_a_pixel_is_the_mean_of_its_area_and_boxes_follow() -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[::2] = 200
    sample = {"img": image, "gt_bboxes": np.array([[0.0, 8.0, 24.0, 32.0]], np.float32), "named": np.array([True])}
    reduced = TRANSFORMS.build(RESIZE)({**sample, "text": "a dot", "image_id": 1})
    assert reduced["img"].shape == (16, 24, 3) and (reduced["img"] == 100).all()
    packed = TRANSFORMS.build({"type": "bus_toolkit.PackRegions"})(reduced)  # whatever scope an earlier run left
    assert packed["data_samples"].gt_boxes.tolist() == [[0.0, 4.0, 12.0, 16.0]]
    assert str(packed["data_samples"].gt_boxes.dtype) == "torch.float32"
