import cv2
import numpy as np
import pytest

from bus_toolkit.data.transforms.load import LoadImage, LoadImageFromBytes
from bus_toolkit.registry import TRANSFORMS
from tests.data.shards.tiny_shards import picture


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_decodes_as_a_file_is_decoded(tmp_path, kind):
    import mmpretrain.datasets  # noqa: F401

    pixels = cv2.resize(np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8), (24, 16))
    data = cv2.imencode(f".{kind}", pixels)[1].tobytes()
    (tmp_path / f"a.{kind}").write_bytes(data)
    from_file = TRANSFORMS.build({"type": "mmpretrain.LoadImageFromFile"})({"img_path": str(tmp_path / f"a.{kind}")})
    sample = LoadImageFromBytes()({"img_bytes": data, "text": "a"})
    assert np.array_equal(sample["img"], from_file["img"]) and "img_bytes" not in sample
    assert sample["img_shape"] == from_file["img_shape"] == sample["ori_shape"] == (16, 24)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_cut_off_image_cannot_be_decoded(kind):
    data = picture(100, kind)
    with pytest.raises(OSError, match="cannot be decoded"):
        LoadImageFromBytes()({"img_bytes": data[: len(data) * 2 // 3]})


def test_an_empty_image_is_reported():
    with pytest.raises(OSError, match="the image has 0 bytes"):
        LoadImageFromBytes()({"img_bytes": b""})


def test_a_path_with_backslashes_comes_with_advice():
    with pytest.raises(OSError, match=r"No such file or directory, and its path has a backslash; write / between"):
        LoadImage()({"img_path": r"photos\a.png"})
    with pytest.raises(OSError, match=r"No such file or directory$"):
        LoadImage()({"img_path": "gone/a.png"})


def test_boxes_as_shares_of_the_sides_are_refused():
    load, data = LoadImageFromBytes(), picture(1)
    shares = np.array([[0.1, 0.2, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]], np.float32)
    with pytest.raises(OSError, match="all boxes lie within its first pixel, as shares of its sides would"):
        load({"img_bytes": data, "gt_bboxes": shares})
    corner = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    assert load({"img_bytes": data, "gt_bboxes": corner})["gt_bboxes"] is corner, "a pixel may be an object"
