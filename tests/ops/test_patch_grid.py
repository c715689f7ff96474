import pytest
import torch

from bus_toolkit.ops.patch_grid import patch_centres, shares_of_box
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels


def test_centres_run_row_by_row_as_x_and_y():
    assert patch_centres((2, 4), torch.device("cpu")).tolist() == [
        [0.125, 0.25],
        [0.375, 0.25],
        [0.625, 0.25],
        [0.875, 0.25],
        [0.125, 0.75],
        [0.375, 0.75],
        [0.625, 0.75],
        [0.875, 0.75],
    ]


def test_a_box_is_shared_out_by_area():
    # 2 x 2 patches of half a side. The box is 0.5 wide and 0.2 high: 3/5 of it left of the middle, all above it.
    shares = shares_of_box(torch.tensor([[0.2, 0.1, 0.7, 0.3]]), (2, 2))
    torch.testing.assert_close(shares, torch.tensor([[0.6, 0.4, 0.0, 0.0]]))


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (8, 8), (24, 24)])
def test_the_shares_of_a_box_within_the_image_sum_to_one(grid):
    corners = torch.rand(200, 2, 2, generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    boxes = corners.flatten(1)
    torch.testing.assert_close(shares_of_box(boxes, grid).sum(dim=1), torch.ones(200), atol=1e-4, rtol=0)


def test_a_patch_has_a_share_where_the_patch_labels_say_that_the_box_covers_it():
    corners = torch.randint(0, 65, (300, 2, 2), generator=torch.Generator().manual_seed(1)).sort(dim=1).values
    boxes = corners.flatten(1).float()
    labels = boxes_to_patch_labels(boxes, (64, 64), 8)
    assert torch.equal(shares_of_box(boxes / 64, (8, 8)) > 0, labels)


def test_boxes_without_area_or_outside_are_nowhere():
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [1.2, 0.0, 1.5, 1.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 1.5, 1.0]])
    assert shares_of_box(boxes, (2, 2)).sum(dim=1).tolist() == [0.0, 0.0, 0.0, 0.5]


def test_half_precision_boxes_are_computed_in_float32():
    assert shares_of_box(torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.bfloat16), (2, 2)).dtype == torch.float32
