"""Images on a square canvas with their boxes, and the way back."""

import numpy as np
import pytest

from bus_toolkit.data.transforms.crops import RandomResizedCropWithBoxes
from bus_toolkit.data.transforms.pad import ResizeAndPad
from bus_toolkit.errors import ConfigError


def sample_of(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    image[10:30, 20:40] = 255
    return {"img": image, "gt_bboxes": np.array([[20, 10, 40, 30]], np.float32), "named": np.array([True])}


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (50, 50)])
def test_boxes_are_where_the_pixels_are_at_each_draw(shape):
    transform, places = ResizeAndPad(64, sizes=[64, 48, 32], random_place=True), set()
    for seed in range(30):
        np.random.seed(seed)
        out = transform(sample_of(*shape))
        rows, columns = np.nonzero((out["img"] > 128).all(axis=2))
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert out["img"].shape == (64, 64, 3) and np.abs(out["gt_bboxes"][0] - seen).max() <= 1.0
        width, height = np.diff(out["gt_bboxes"][0].reshape(2, 2), axis=0)[0]
        assert width == pytest.approx(height, rel=0.05)  # proportions are kept
        places.add(tuple(seen))
    assert len(places) > 20


def test_what_a_crop_has_cut_off_does_not_reach_into_the_padding():
    sample = {**sample_of(32, 64), "gt_bboxes": np.array([[-5, 20, 10, 50], [70, 0, 80, 10]], np.float32)}
    boxes = ResizeAndPad(64)(sample)["gt_bboxes"]
    assert boxes[0].tolist() == [0, 36, 10, 48] and boxes[1][0] == boxes[1][2]  # the second one is hidden


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("build", [lambda: ResizeAndPad(8), lambda: RandomResizedCropWithBoxes(8)])
def test_arrays_that_may_not_be_written_such_as_pillows_are_read_without_a_warning(build):
    image = np.full((6, 6, 3), 7, np.uint8)
    image.setflags(write=False)
    assert (build()({"img": image})["img"] == 7).mean() > 0.9


def test_the_rest_is_clips_mean_colour_and_an_evaluation_draws_nothing():
    outs = [ResizeAndPad(64)(sample_of(32, 64))["img"] for _ in range(2)]
    assert np.array_equal(*outs)
    assert (outs[0][:16] == [104, 117, 123]).all() and (outs[0][48:] == [104, 117, 123]).all()
    assert np.array_equal(outs[0][16:48], sample_of(32, 64)["img"])


@pytest.mark.parametrize("shape", [(60, 90), (333, 500), (3, 1000), (1000, 1)])
def test_a_box_finds_its_way_back(shape):
    """Also where a side of the canvas is rounded by much, such as 0.19 pixels to 1."""
    transform = ResizeAndPad(64)
    box = np.array([[shape[1] * 0.2, shape[0] * 0.1, shape[1] * 0.7, shape[0] * 0.9]], np.float32)
    moved = transform({"img": np.zeros((*shape, 3), np.uint8), "gt_bboxes": box})["gt_bboxes"]
    np.testing.assert_allclose(transform.placement(shape).on_image(moved, shape), box, rtol=1e-4)


@pytest.mark.parametrize("sizes", [[], [65], [0, 3]])
def test_sizes_that_do_not_fit_the_canvas_are_refused(sizes):
    with pytest.raises(ConfigError, match=r"ResizeAndPad.sizes: must be from 1 to scale \(64\), got \["):
        ResizeAndPad(64, sizes=sizes)
