"""Patch-text loss: unlabelled images are not images of nothing."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from bus_toolkit.losses.patch_text import (
    labels_of_candidates,
    patch_text_loss,
    patch_text_softmax_loss,
)


def test_rows_without_boxes_count_as_nothing() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    labels = torch.rand(3, 5) > 0.5
    loss = patch_text_loss(logits, labels, torch.tensor([True, False, True]))
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[[0, 2]], labels[[0, 2]].float()))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == 0


def test_a_candidate_is_positive_if_one_of_its_patches_is() -> None:
    labels = torch.tensor([[True, False, False, True]])
    slots = torch.tensor([[-1, 0, 1, 1]])
    assert labels_of_candidates(labels, slots, 2).tolist() == [[False, True]]


def test_the_softmax_form_compares_the_patches_of_an_image() -> None:
    """By hand: with logits ln 1, ln 1 and ln 2 the shares are 1/4, 1/4 and 1/2."""
    logits = torch.log(torch.tensor([[1.0, 1.0, 2.0], [5.0, 1.0, 3.0], [1.0, 1.0, 2.0]])).requires_grad_()
    cover = torch.tensor([[0.0, 0.2, 0.6], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    loss = patch_text_softmax_loss(logits, cover)
    first, third = -(0.25 * math.log(1 / 4) + 0.75 * math.log(1 / 2)), -math.log(1 / 4)
    torch.testing.assert_close(loss, torch.tensor((first + third) / 2))
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0], torch.tensor([0.25, 0.0, -0.25]) / 2)  # (share - target) / images
    assert logits.grad[1].abs().sum() == 0


def test_the_softmax_form_of_images_without_a_covered_patch_is_zero() -> None:
    assert patch_text_softmax_loss(torch.randn(2, 4), torch.zeros(2, 4)) == 0
