"""Contrast with soft targets, and hard negatives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.losses.contrastive import positive_targets, sample_hard_negatives, sigmoid_contrast, soft_cross_entropy


def test_captions_of_one_image_share_the_target() -> None:
    ids = torch.tensor([7, 8, 7])
    assert positive_targets(ids, ids).tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]


def test_one_hot_targets_give_torchs_cross_entropy() -> None:
    logits = torch.randn(4, 4)
    expected = F.cross_entropy(logits, torch.arange(4), reduction="none")
    torch.testing.assert_close(soft_cross_entropy(logits, torch.eye(4)), expected)


def test_absent_candidates_are_neither_positive_nor_negative() -> None:
    logits, present = torch.randn(2, 5), torch.tensor([True, True, False, True, False])
    targets = F.one_hot(torch.tensor([0, 3]), 5).float()
    torch.testing.assert_close(
        soft_cross_entropy(logits, targets, present),
        soft_cross_entropy(logits[:, present], targets[:, present]),
    )


def test_negatives_are_drawn_in_proportion_to_the_softmax_and_never_forbidden() -> None:
    draws = 20000
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat(draws, 1)
    allowed = torch.tensor([True, True, True, False]).repeat(draws, 1)
    noise = torch.rand(draws, 4, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(sample_hard_negatives(logits, allowed, noise), minlength=4) / draws
    expected = torch.cat([torch.tensor([0.0, 1.0, 2.0]).softmax(0), torch.zeros(1)])
    torch.testing.assert_close(counts, expected, atol=0.015, rtol=0.0)


@pytest.mark.parametrize("floor", [1e-4, 0.2])
def test_a_floor_is_added_to_the_probabilities_before_drawing(floor: float) -> None:
    """BLIP: ``softmax(sim) + 1e-4``, its own image 0, then torch.multinomial."""
    draws = 40000
    logits = torch.tensor([0.0, 14.0, 2.0, 12.0])
    weights = (logits.softmax(0) + floor) * torch.tensor([1.0, 0.0, 1.0, 1.0])
    noise = torch.rand(draws, 4, generator=torch.Generator().manual_seed(0))
    allowed = torch.tensor([True, False, True, True]).repeat(draws, 1)
    drawn = sample_hard_negatives(logits.repeat(draws, 1), allowed, noise, floor=floor)
    torch.testing.assert_close(torch.bincount(drawn, minlength=4) / draws, weights / weights.sum(), atol=0.01, rtol=0.0)


def test_a_floor_lets_candidates_be_drawn_whose_probability_underflows() -> None:
    logits, allowed = torch.tensor([[0.0, 500.0, 0.0]]), torch.tensor([[True, False, True]])
    noise = torch.tensor([[0.2, 0.9, 0.8]])
    assert sample_hard_negatives(logits, allowed, noise, floor=1e-4).tolist() == [2]


def test_the_sigmoid_loss_is_that_of_the_papers_pseudo_code() -> None:
    images, texts = (F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(s)), dim=1) for s in (0, 1))
    logits = images @ texts.T * 10.0 - 10.0
    labels = 2.0 * torch.eye(5) - torch.ones(5, 5)  # arXiv 2303.15343, algorithm 1
    torch.testing.assert_close(
        sigmoid_contrast(logits, torch.eye(5).bool()).mean(), -F.logsigmoid(labels * logits).sum() / 5
    )
