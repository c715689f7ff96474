"""Patch-text loss: unlabelled images are not images of nothing."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bus_toolkit.losses.patch_text import labels_of_candidates, patch_text_loss


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
