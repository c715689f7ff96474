"""Crops: whole objects where they are kept, torchvision's window and Pillow's pixels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from bus_toolkit.data.transforms.crops import RandomCropKeepNamed, RandomResizedCropWithBoxes
from bus_toolkit.errors import ConfigError
from tests.data.transforms.test_augment import scene_sample


def test_a_crop_keeps_every_named_object_whole():
    for seed in range(30):
        np.random.seed(seed)
        _, sample = scene_sample(seed)
        out = RandomCropKeepNamed((0.3, 0.6))(sample)
        named = out["gt_bboxes"][out["named"]]
        assert out["img"].shape == (64, 64, 3)
        assert named.min() >= -1e-4 and named.max() <= 64 + 1e-4


def test_images_without_named_boxes_are_cropped_too_unless_they_are_to_stay():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    nothing_named = {"gt_bboxes": np.array([[0, 0, 4, 4]], np.float32), "named": np.array([False])}
    for more in ({}, nothing_named):
        np.random.seed(0)
        out = RandomCropKeepNamed((0.3, 0.5))({"img": image, "text": "a", **more})
        assert out["img"].shape == (4, 4, 3) and not np.array_equal(out["img"], image)
        stays = RandomCropKeepNamed((0.3, 0.5), named_only=True)({"img": image, "text": "a", **more})
        assert np.array_equal(stays["img"], image)
    assert out["gt_bboxes"][0, 2:].tolist() > [4, 4]  # the box of a whole image is larger than a window of it


def test_some_crops_are_left_out_by_chance_or_by_a_word_of_the_text():
    crop = RandomCropKeepNamed((0.3, 0.5), prob=0.5, unless_words=["left", "top"])
    for text in ("the one on the Left", "leftmost", "on top"):
        assert np.array_equal(crop({"img": noise_image(), "text": text})["img"], noise_image())
    np.random.seed(0)
    cropped = sum(
        not np.array_equal(crop({"img": noise_image(), "text": "a"})["img"], noise_image()) for _ in range(60)
    )
    assert 15 < cropped < 45


def noise_image(height=48, width=60):
    rng = np.random.default_rng(0)
    return np.array(Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((width, height)))


@pytest.mark.parametrize("seed", range(6))
def test_a_resized_crop_is_that_of_torchvision_on_a_picture_of_pillow(seed):
    image = noise_image()
    bicubic = transforms.InterpolationMode.BICUBIC
    torch.manual_seed(seed)
    expected = np.asarray(
        transforms.RandomResizedCrop((32, 40), (0.2, 1.0), interpolation=bicubic)(Image.fromarray(image))
    )
    torch.manual_seed(seed)
    got = RandomResizedCropWithBoxes([40, 32], (0.2, 1.0))({"img": image[:, ::-1][:, ::-1]})
    assert got["img"].shape == (32, 40, 3) and got["img"].flags["C_CONTIGUOUS"] and got["img_shape"] == (32, 40)
    difference = np.abs(got["img"].astype(int) - expected)
    assert difference.max() <= 2 and difference.mean() < 0.2  # both round


def test_a_resized_crop_keeps_named_objects_whole_where_it_is_asked_to():
    boxes = np.array([[2, 3, 12, 20], [40, 5, 58.5, 30], [0, 0, 5, 5]], np.float32)
    whole = np.array([10 * 17, 18.5 * 25])
    cut = 0
    for seed in range(200):
        torch.default_generator.manual_seed(seed)
        sample = {"img": noise_image(), "gt_bboxes": boxes, "named": np.array([True, True, False])}
        free = RandomResizedCropWithBoxes(32, (0.2, 0.5))(dict(sample))["gt_bboxes"]
        torch.default_generator.manual_seed(seed)
        kept = RandomResizedCropWithBoxes(32, (0.2, 0.5), keep_named=True)(dict(sample))["gt_bboxes"]
        sides = (kept[:, 2:] - kept[:, :2])[:2]
        # Width and height of two objects in one window grow by the same factors only if both are whole.
        assert np.allclose(sides[0] / sides[1], [10 / 18.5, 17 / 25], rtol=1e-4)
        assert (
            kept.min() >= 0 and kept.max() <= 32 and sides.prod(axis=1).min() > whole.min() * 32 * 32 / (48 * 60) - 0.1
        )
        cut += not np.allclose(*((free[:2, 2:] - free[:2, :2]) / [[10, 17], [18.5, 25]]), rtol=1e-3)
    assert cut > 150


@pytest.mark.parametrize(
    "build",
    [lambda: RandomCropKeepNamed((0.3, 0.5)), lambda: RandomResizedCropWithBoxes(32, (0.2, 0.4), keep_named=True)],
)
@pytest.mark.parametrize("hidden", [[0, 0, 0, 0], [70, 10, 90, 30], [-9, 5, 0, 8]])
def test_a_named_object_that_is_out_of_view_does_not_hold_the_window(build, hidden):
    """As RandAugment leaves it, or a crop; the window would always reach the corner or the border where it is."""
    outs = []
    for boxes in (np.array([hidden], np.float32), np.zeros((0, 4), np.float32)):
        np.random.seed(4)
        torch.manual_seed(4)
        sample = {"img": noise_image(), "gt_bboxes": boxes, "named": np.ones(len(boxes), bool)}
        outs.append(build()(sample)["img"])
    assert np.array_equal(*outs)


def test_a_thin_image_keeps_a_pixel_in_each_direction_where_no_window_has_the_shape():
    for shape in ((5, 1, 3), (1, 5, 3)):
        for ratios in ((3.0, 4.0), (0.2, 0.3)):
            crop = RandomResizedCropWithBoxes(8, aspect_ratio_range=ratios)
            assert crop({"img": np.full(shape, 9, np.uint8)})["img"].tolist() == np.full((8, 8, 3), 9).tolist()


def test_images_without_named_objects_are_cropped_alike_with_and_without_the_promise():
    outs = []
    for keep_named in (False, True):
        torch.manual_seed(3)
        sample = {"img": noise_image(), "gt_bboxes": np.ones((1, 4), np.float32), "named": np.array([False])}
        outs.append(RandomResizedCropWithBoxes(32, (0.2, 0.5), keep_named=keep_named)(sample))
    assert np.array_equal(outs[0]["img"], outs[1]["img"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomCropKeepNamed((0.9, 0.5)), r"RandomCropKeepNamed.scale: .* got \(0.9, 0.5\)"),
        (
            lambda: RandomResizedCropWithBoxes(0),
            r"RandomResizedCropWithBoxes.scale: must be one or two whole numbers .* got 0",
        ),
        (lambda: RandomResizedCropWithBoxes([3, 4, 5]), r"WithBoxes.scale: .* got \[3, 4, 5\]"),
        (lambda: RandomResizedCropWithBoxes(8, (0.0, 1.0)), r"crop_ratio_range: .* in \(0, 1\], got \(0.0, 1.0\)"),
        (
            lambda: RandomResizedCropWithBoxes(8, aspect_ratio_range=(2, 1)),
            r"aspect_ratio_range: .* above 0, got \(2, 1\)",
        ),
    ],
)
def test_refuses_values_out_of_range(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
