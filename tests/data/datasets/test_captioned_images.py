import json

import cv2
import numpy as np
import pytest

from bus_toolkit.data import CaptionedImages

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
CAPTIONS = [(1, "a dog"), (0, "a cat"), (1, "one dog"), (0, "it sleeps"), (0, "grey fur")]


@pytest.fixture
def config(tmp_path):
    """Two images with three and two captions, in mixed order."""
    (tmp_path / "images").mkdir()
    images = [{"id": 10 + number, "coco_url": f"http://images.org/images/{number}.png"} for number in (0, 1)]
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((16, 16, 3), 100 + number, np.uint8))
    captions = [{"id": k, "image_id": 10 + number, "caption": text} for k, (number, text) in enumerate(CAPTIONS)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(tmp_path), "ann_file": "captions.json"}
    return {"type": "bus_toolkit.RegionCaptionDataset", "dataset": reader, "pipeline": PIPELINE}


def test_each_image_comes_once_with_all_its_captions(config):
    data = CaptionedImages(config)
    assert len(data) == 2 and data.metainfo == {"dataset": "RegionCaptionDataset"}
    samples = [data[number]["data_samples"] for number in (0, 1)]
    assert [(s.image_id, s.text, s.references) for s in samples] == [
        (1, "a dog", ["a dog", "one dog"]),
        (0, "a cat", ["a cat", "it sleeps", "grey fur"]),
    ]
    assert [int(data[number]["inputs"][0, 0, 0]) for number in (0, 1)] == [101, 100]


def test_an_image_that_replaces_an_unreadable_one_has_its_own_captions(config, tmp_path):
    (tmp_path / "images" / "1.png").write_bytes(b"")
    data = CaptionedImages(config)
    sample = data[0]["data_samples"]
    assert sample.image_id == 0 and sample.references == ["a cat", "it sleeps", "grey fur"]
