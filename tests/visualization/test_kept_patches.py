import re

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from bus_toolkit.errors import DataError
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches
from bus_toolkit.visualization.patch_marks import dimmed

KEPT = torch.tensor([True, False, False, True])


def _sample(**fields):
    return {"text": "a $5 red_circle", "kept": KEPT, "patch_grid": (2, 2), **fields}


def _inputs():
    inputs = torch.zeros(3, 8, 8, dtype=torch.uint8)
    inputs[0] = 200  # blue in BGR
    return inputs


def test_the_image_is_turned_from_bgr_channels_first_to_rgb():
    picture = PatchPicture.from_prediction(_inputs(), _sample())
    assert picture.image.shape == (8, 8, 3)
    assert picture.image[0, 0].tolist() == [0, 0, 200]


def test_kept_patches_stay_as_they_are_and_dropped_ones_turn_dark_grey():
    picture = PatchPicture.from_prediction(_inputs(), _sample())
    shown = dimmed(picture.image, picture.kept_grid)
    assert (shown[:4, :4] == [0, 0, 200]).all() and (shown[4:, 4:] == [0, 0, 200]).all()
    assert (shown[:4, 4:] == shown[0, 4, 0]).all() and shown[0, 4, 0] < 60


def test_scores_of_the_patch_text_head_stand_in_for_missing_ones():
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert PatchPicture.from_prediction(_inputs(), _sample(patch_scores=scores)).scores.tolist() == scores.tolist()
    both = _sample(patch_scores=scores, scores=scores.flip(0))
    assert PatchPicture.from_prediction(_inputs(), both).scores.tolist() == scores.flip(0).tolist()


def test_scores_of_fewer_tokens_than_patches_are_not_drawn():
    assert PatchPicture.from_prediction(_inputs(), _sample(scores=torch.ones(2))).scores is None


def test_a_wrong_number_of_patches_is_named():
    message = "PatchPicture: kept must have 2 x 3 entries (patch_grid), got 4."
    with pytest.raises(DataError, match=re.escape(message)):
        PatchPicture.from_prediction(_inputs(), _sample(patch_grid=(2, 3)))


def test_a_row_with_everything_and_a_row_with_nothing_fit_in_one_picture(tmp_path):
    full = _sample(
        scores=torch.tensor([1.0, float("-inf"), 0.5, float("nan")]),
        patch_scores_shuffled=torch.zeros(4),
        gt_boxes=torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 8.0, 8.0]]),
        named=torch.tensor([True, False]),
    )
    pictures = [PatchPicture.from_prediction(_inputs(), fields) for fields in (full, _sample())]
    path = draw_kept_patches(pictures, tmp_path / "deep" / "kept.png")
    image = imread(path)
    assert image.shape[0] > 300 and image.shape[1] > 600 and np.ptp(image) > 0.5
    assert [file.name for file in path.parent.iterdir()] == ["kept.png"]


def test_an_image_that_is_not_square_keeps_its_shape(tmp_path):
    inputs = torch.zeros(3, 4, 16, dtype=torch.uint8)
    picture = PatchPicture.from_prediction(inputs, _sample(patch_grid=(1, 4)))
    wide = imread(draw_kept_patches([picture], tmp_path / "wide.png"))
    square = imread(draw_kept_patches([PatchPicture.from_prediction(_inputs(), _sample())], tmp_path / "square.png"))
    assert wide.shape[0] < square.shape[0]


def test_the_box_that_was_found_is_drawn_in_pink(tmp_path):
    pink = np.array([0xFF, 0x2D, 0x95]) / 255

    def pink_pixels(name, **fields):
        picture = PatchPicture.from_prediction(_inputs(), _sample(**fields))
        image = imread(draw_kept_patches([picture], tmp_path / name))[..., :3]
        return int((np.abs(image - pink).max(axis=2) < 0.02).sum())

    box = torch.tensor([1.0, 1.0, 6.0, 5.0], dtype=torch.bfloat16)
    assert pink_pixels("plain.png") == 0 < pink_pixels("found.png", pred_box=box)
