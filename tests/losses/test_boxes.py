import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from bus_toolkit.losses.boxes import box_l1, giou_loss, iou


def box(*corners):
    return torch.tensor([corners], dtype=torch.float32)


def random_boxes(seed, count=200):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(dim=1).values
    return corners.flatten(1)


def test_iou_of_boxes_worked_out_by_hand():
    # Two 2 x 2 squares that share 1 x 1: 1 of 7.
    torch.testing.assert_close(iou(box(0, 0, 2, 2), box(1, 1, 3, 3)), torch.tensor([1 / 7]))
    assert iou(box(0, 0, 1, 1), box(0, 0, 1, 1)).item() == 1.0
    assert iou(box(0, 0, 1, 1), box(1, 0, 2, 1)).item() == 0.0


def test_iou_broadcasts_one_box_over_many():
    many = random_boxes(0, 5)
    assert torch.equal(iou(many, many[2]), torch.cat([iou(row[None], many[2:3]) for row in many]))


def test_giou_of_boxes_worked_out_by_hand():
    # The hull of the two squares is 3 x 3, of which 2 are in neither: GIoU = 1/7 - 2/9.
    torch.testing.assert_close(giou_loss(box(0, 0, 2, 2), box(1, 1, 3, 3)), torch.tensor([1 - 1 / 7 + 2 / 9]))
    # Unit squares with a unit gap: nothing shared, a third of the hull in neither.
    torch.testing.assert_close(giou_loss(box(0, 0, 1, 1), box(2, 0, 3, 1)), torch.tensor([1 + 1 / 3]))


def test_giou_is_that_of_torchvision():
    one, two = random_boxes(1), random_boxes(2)
    torch.testing.assert_close(giou_loss(one, two), generalized_box_iou_loss(one, two), atol=1e-4, rtol=1e-4)


def test_boxes_that_do_not_meet_pull_each_other():
    guess = box(0.7, 0.7, 0.9, 0.9).requires_grad_()
    giou_loss(guess, box(0.1, 0.1, 0.3, 0.3)).sum().backward()
    assert (guess.grad[:, :2] > 0).all(), "a step against the gradient moves the near corner closer"


def test_l1_is_the_sum_over_the_corners():
    assert box_l1(box(0, 0, 2, 2), box(1, 1, 3, 5)).tolist() == [6.0]


@pytest.mark.parametrize("loss", [box_l1, iou, giou_loss])
def test_points_have_a_finite_value_and_gradient(loss):
    guess, point = box(0.3, 0.3, 0.3, 0.3).requires_grad_(), box(0.0, 0.0, 0.0, 0.0)
    for target in (point, guess.detach().clone()):
        value = loss(guess, target)
        value.sum().backward()
        assert torch.isfinite(value).all() and torch.isfinite(guess.grad).all()


@pytest.mark.parametrize("loss", [box_l1, iou, giou_loss])
def test_half_precision_is_computed_in_float32(loss):
    assert loss(box(0, 0, 1, 1).bfloat16(), box(0, 0, 1, 1).bfloat16()).dtype == torch.float32
