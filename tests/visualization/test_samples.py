import re

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from mmpretrain.structures import DataSample

from bus_toolkit.errors import DataError
from bus_toolkit.visualization.sample_sheet import _lines, draw_samples
from bus_toolkit.visualization.samples import SamplePicture

BOXES = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 20.0, 16.0]])


def packed(shape=(3, 16, 24), path="folder/a.png", **fields):
    sample = DataSample()
    for name, value in fields.items():
        sample.set_field(value, name, dtype=None)
    sample.set_metainfo({"img_path": path})
    return {"inputs": torch.zeros(shape, dtype=torch.uint8), "data_samples": sample}


def test_the_image_is_turned_from_bgr_channels_first_to_rgb():
    data = packed()
    data["inputs"][0] = 200
    picture = SamplePicture.from_packed(data)
    assert picture.images[0].shape == (16, 24, 3) and picture.images[0][0, 0].tolist() == [0, 0, 200]


def test_the_labels_are_those_that_the_patch_text_head_learns():
    """Patches of 8: the first box is patch (0, 0); the second covers (1, 1), and half of (1, 2)."""
    data = packed(gt_boxes=BOXES, named=torch.tensor([False, True]))
    picture = SamplePicture.from_packed(data, patch_size=8)
    assert picture.labels.tolist() == [[False, False, False], [False, True, True]]
    assert picture.covered.tolist() == [[True, False, False], [False, True, True]]
    strict = SamplePicture.from_packed(data, patch_size=8, overlap=0.5)
    assert strict.labels.tolist() == [[False, False, False], [False, True, False]]
    assert SamplePicture.from_packed(data).labels is None


def test_every_kind_of_text_has_its_heading():
    data = packed(
        text="what color",
        gt_answer=["red", "blue"],
        gt_answer_weight=[0.7, 0.3],
        gt_label=torch.tensor([1]),
        references=["a dog", "two dogs"],
        source="coco",
        objectives=("itc", "itm"),
    )
    assert SamplePicture.from_packed(data, heading="question").texts == [
        ("", "a.png"),
        ("question", "what color"),
        ("answer", "red (70%), blue (30%)"),
        ("label", "1"),
        ("references", "a dog / two dogs"),
        ("source", "coco (serves itc, itm)"),
    ]
    one = SamplePicture.from_packed(packed(text="what color", gt_answer="red"), heading="question")
    assert ("answer", "red") in one.texts, "one answer without a list, as mmpretrain's GQA has it"


def test_two_images_stand_side_by_side():
    data = packed((2, 3, 8, 8), path=["x/left.png", "x/right.png"])
    picture = SamplePicture.from_packed(data)
    assert len(picture.images) == 2 and picture.texts == [("", "left.png  right.png")]


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8)])
def test_what_is_no_picture_is_reported(shape):
    message = f"SamplePicture: inputs must be (3, H, W) each, got [{shape}]. End the pipeline with PackRegions."
    with pytest.raises(DataError, match=re.escape(message)):
        SamplePicture.from_packed(packed(shape))


def test_patches_larger_than_the_image_are_reported():
    with pytest.raises(DataError, match="SamplePicture.patch_size: .*at most the image size .*got 32. Give the side"):
        SamplePicture.from_packed(packed(gt_boxes=BOXES, named=torch.tensor([True, True])), patch_size=32)


def test_long_texts_are_cut_to_the_width_and_file_names_keep_their_end():
    picture = SamplePicture([np.zeros((8, 8, 3), np.uint8)], [("", "x" * 99 + ".png"), ("text", "word\n" * 10_000)])
    lines = [line for line, _ in _lines(picture, side=2.0)]
    assert len(lines) == 6 and max(map(len, lines)) <= 30
    assert lines[0].startswith("...x") and lines[0].endswith("x.png") and lines[-1].endswith(" ...")


def test_draws_a_sheet_of_different_samples(tmp_path):
    boxed = packed(gt_boxes=BOXES, named=torch.tensor([True, False]), text="a $5 \U0001f436 star")
    pictures = [
        SamplePicture.from_packed(boxed, patch_size=8),
        SamplePicture.from_packed(packed((2, 3, 8, 8), path=["l.png", "r.png"])),
        SamplePicture.from_packed(packed((3, 64, 8))),
    ]
    path = draw_samples(pictures, tmp_path / "deep" / "sheet.png", columns=2)
    image = imread(path)
    assert image.shape[1] > 600 and [file.name for file in path.parent.iterdir()] == ["sheet.png"]
    green = (np.abs(image[..., :3] - np.array([0, 200, 83]) / 255) < 0.1).all(axis=2)
    assert green.sum() > 100, "the named box"
    # Black pixels of the first sample are in the sheet whole: 24 x 16 at 2.9 inches and 130 dots.
    assert (image[..., :3].max(axis=2) < 0.05).sum() > 50_000


def test_wide_samples_get_half_a_row_each(tmp_path):
    wide = SamplePicture.from_packed(packed((3, 8, 64)))
    sheet = imread(draw_samples([wide] * 4, tmp_path / "wide.png"))
    square = imread(draw_samples([SamplePicture.from_packed(packed((3, 8, 8)))] * 4, tmp_path / "square.png"))
    assert abs(sheet.shape[1] - square.shape[1]) < 60
    dark = (sheet[..., :3].max(axis=2) < 0.05).any(axis=0)
    assert dark.sum() > 0.9 * sheet.shape[1], "two pictures fill the width"
