"""RandAugment: operations as Pillow's, boxes where the pixels are."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from bus_toolkit.data.transforms.augment import RandomFlipWithText
from bus_toolkit.data.transforms.colours import ColourEnhance
from bus_toolkit.data.transforms.crops import RandomResizedCropWithBoxes
from bus_toolkit.data.transforms.pack import PackRegions
from bus_toolkit.data.transforms.pad import ResizeAndPad
from bus_toolkit.data.transforms.rand_augment import RandAugmentWithBoxes
from bus_toolkit.draws import seed_cpu_generators
from bus_toolkit.errors import ConfigError
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels
from bus_toolkit.testing import check_transform
from tests.data.transforms.test_crops import noise_image

SIDE, PATCH = 64, 16
PLACE = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]


def drawn_objects(rng):
    """Return a picture with an object in channel 0 and one in channel 2, and their boxes."""
    height, width = rng.integers(40, 90, 2)
    corners = rng.integers(0, [[width - 8, height - 8]] * 2)
    boxes = np.concatenate([corners, corners + rng.integers(6, 30, (2, 2))], axis=1).clip(0, [width, height] * 2)
    image = np.zeros((height, width, 3), np.uint8)
    for (left, top, right, bottom), channel in zip(boxes, (0, 2), strict=True):
        image[top:bottom, left:right, channel] = 255
    return image, boxes.astype(np.float32)


def seen_box(image, channel):
    """Return the hull of an object's pixels; grey fill is alike in all channels, or stronger in channel 1."""
    rows, columns = np.nonzero(image[..., channel].astype(int) - image[..., 1] > 90)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) if len(rows) else None


def labels(*boxes):
    return boxes_to_patch_labels(torch.from_numpy(np.stack(boxes).astype(np.float32)), (SIDE, SIDE), PATCH)


def test_patch_labels_after_augmentation_are_those_of_the_pixels_in_1000_draws():
    """The boxes of the sample are never used: what is compared with is where the pixels of the objects are."""
    rng = np.random.default_rng(0)
    pipeline = [
        RandomResizedCropWithBoxes(SIDE, (0.2, 1.0)),
        RandomFlipWithText(),
        RandAugmentWithBoxes(),
        PackRegions(),
    ]
    equal, errors, hidden = [], [], 0
    for seed in range(1000):
        image, boxes = drawn_objects(rng)
        seed_cpu_generators(seed)
        sample = {"img": image, "text": "a", "gt_bboxes": boxes, "named": np.array([True, False])}
        for transform in pipeline:
            sample = transform(sample)
        packed = sample["data_samples"]
        got = dict(zip(packed.named.tolist(), packed.gt_boxes.numpy(), strict=True)) if "gt_boxes" in packed else {}
        assert True in got or not got  # without the named object there are no labels at all
        for is_named, channel in ((True, 0), (False, 2)):
            seen = seen_box(sample["inputs"].permute(1, 2, 0).numpy(), channel)
            if seen is None or (seen[2:] - seen[:2]).min() < 4:
                # What is hidden has no label, but for slivers thinner than a pixel of the source, 4 after the crop.
                assert is_named not in got or (got[is_named][2:] - got[is_named][:2]).min() < 6
                hidden += seen is None
            elif True in got:
                errors.append(np.abs(got[is_named] - seen).max())
                border = np.array([3, 3, -3, -3])
                expected, same, inner, outer = labels(got[is_named], seen, seen + border, seen - border)
                assert (expected >= inner).all() and (expected <= outer).all()
                equal.append(torch.equal(expected, same))
    assert len(equal) > 1200 and hidden > 50
    assert max(errors) < 4 and np.mean(errors) < 0.7 and np.mean(equal) > 0.9


@pytest.mark.parametrize("name", PLACE)
def test_named_objects_stay_whole_where_they_are_kept(name):
    left_out = 0
    for seed in range(40):
        np.random.seed(seed)
        left, top = np.random.randint([SIDE - 10, SIDE - 18])
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[top : top + 18, left : left + 10, 0] = 255
        boxes = np.array([[left, top, left + 10, top + 18], [0, 0, 64, 64]], np.float32)
        sample = {"img": image, "gt_bboxes": boxes, "named": np.array([True, False])}
        out = RandAugmentWithBoxes(1, 10, prob=1.0, operations=[name], keep_named=True)(dict(sample))
        seen = seen_box(out["img"], 0)
        assert np.abs(out["gt_bboxes"][0] - seen).max() < 1.5
        assert (out["img"][..., 0] > 200).sum() > 0.9 * 180
        left_out += out["img"] is image
    assert 0 < left_out < 40


def test_an_object_that_was_pushed_out_of_view_does_not_come_back_as_a_label():
    boxes, hidden = np.array([[0, 0, 3, 64], [30, 30, 40, 40]], np.float32), 0
    for seed in range(20):
        np.random.seed(seed)
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[:, :3, 0] = 255
        sample = {"img": image, "gt_bboxes": boxes, "named": np.array([False, True])}
        out = RandAugmentWithBoxes(2, prob=1.0, operations=["TranslateX"])(sample)
        seen = seen_box(out["img"], 0)
        assert np.array_equal(out["gt_bboxes"][0], np.zeros(4) if seen is None else seen) and len(out["named"]) == 2
        hidden += seen is None and out["gt_bboxes"][1][0] == 30  # to the left and back
    assert hidden


@pytest.mark.parametrize(
    ("name", "peer", "rounding"),
    [
        ("Identity", lambda image: image, 0),
        ("AutoContrast", ImageOps.autocontrast, 0),
        ("Equalize", ImageOps.equalize, 0),
        ("Brightness", lambda image: ImageEnhance.Brightness(image).enhance(1.36), 1),
        ("Sharpness", lambda image: ImageEnhance.Sharpness(image).enhance(1.36), 1),
    ],
)
def test_changes_of_colour_are_those_of_pillow(name, peer, rounding):
    for image in (noise_image(), noise_image() // 2 + 40, np.full((5, 5, 3), 7, np.uint8)):
        out = RandAugmentWithBoxes(1, prob=1.0, operations=[name])({"img": image})["img"]
        expected = np.asarray(peer(Image.fromarray(image)))
        # ALBEF leaves the border as it is where it sharpens.
        assert np.abs(out.astype(int) - expected)[1:-1, 1:-1].max() <= rounding


def test_shifts_are_7_pixels_at_the_strength_of_albef_and_the_rest_is_grey():
    np.random.seed(0)
    image = noise_image()
    out = RandAugmentWithBoxes(1, prob=1.0, operations=["TranslateX"])({"img": image})["img"]
    moved = np.full_like(image, 128)
    if (out[:, 0] == 128).all():
        moved[:, 7:] = image[:, :-7]
    else:
        moved[:, :-7] = image[:, 7:]
    assert np.array_equal(out, moved)


def test_half_of_the_drawn_operations_are_left_out():
    image, untouched = noise_image(), 0
    for seed in range(400):
        np.random.seed(seed)
        untouched += RandAugmentWithBoxes(operations=["Brightness"])({"img": image})["img"] is image
    assert 60 < untouched < 140


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        (RandAugmentWithBoxes, {"prob": 1.0}),
        (RandomResizedCropWithBoxes, {"scale": 24}),
        (ResizeAndPad, {"scale": 24, "sizes": [24, 16], "random_place": True}),
        (ColourEnhance, {}),
    ],
)
def test_transforms_keep_the_promises_of_the_conformance_kit(part, settings):
    check_transform(part, **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_ops": 0}, "num_ops: must be a whole number above 0, got 0"),
        ({"magnitude": 11}, "magnitude: must be from 0 to 10, got 11"),
        ({"prob": 2}, r"prob: must be in \[0, 1\], got 2"),
        ({"operations": []}, "operations: must name at least one operation"),
        ({"operations": ["rotate"]}, "there is no operation 'rotate'.*Rotate.*Known: Identity, AutoContrast"),
    ],
)
def test_refuses_values_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=f"RandAugmentWithBoxes.{message}" if "there" not in message else message):
        RandAugmentWithBoxes(**arguments)
