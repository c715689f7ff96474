"""Kept patches as mask, indices and boxes."""

import pytest
import torch

from bus_toolkit.errors import DataError
from bus_toolkit.ops import KeptPatches

MASK = torch.tensor([[True, False, False, False, False, True], [False, True, False, False, False, False]])
KEPT = KeptPatches(MASK, (2, 3))


def test_images_may_keep_different_numbers():
    assert KEPT.counts.tolist() == [2, 1] and [rows.tolist() for rows in KEPT.indices] == [[0, 5], [1]]
    assert repr(KEPT) == "KeptPatches(2 images, 1 to 2 of 6 patches kept, grid 2 x 3)"
    assert repr(KeptPatches(MASK[:1], (2, 3))) == "KeptPatches(1 images, 2 of 6 patches kept, grid 2 x 3)"
    assert len(KeptPatches(MASK[:0], (2, 3))) == 0 and "0 of 6" in repr(KeptPatches(MASK[:0], (2, 3)))


def test_rows_and_columns_are_those_of_the_image():
    assert KEPT.on_grid[0].tolist() == [[True, False, False], [False, False, True]]


def test_boxes_are_in_pixels_of_an_image_of_any_size():
    first, second = KEPT.boxes(40, 30)
    assert first.tolist() == [[0, 0, 10, 20], [20, 20, 30, 40]] and second.tolist() == [[10, 0, 20, 20]]


def test_an_image_without_pixels_has_no_boxes():
    with pytest.raises(DataError, match="^boxes: height and width must be above 0 pixels, got 0 and -5."):
        KEPT.boxes(0, -5)
