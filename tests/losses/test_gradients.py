"""Gradients of the losses, against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bus_toolkit import losses
from bus_toolkit.heads.itc_candidates import soften

# Targets, weights, labels and choices: no gradient goes through them.
WITHOUT_GRADIENT = {
    "SoftTargets",
    "difficulty_weights",
    "labels_of_candidates",
    "positive_targets",
    "sample_hard_negatives",
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def boxes(*corners: float) -> Tensor:
    return torch.tensor([list(corners)], dtype=torch.float64)


LOGITS, PRESENT = numbers(3, 5), torch.tensor([True, True, True, False, True])
TARGETS = losses.positive_targets(torch.tensor([1, 2, 1]), torch.tensor([1, 2, 1, -1, 7]), torch.float64)
IDS = torch.tensor([[1, 3, 0, 2], [2, 2, 1, 0]])
MEETING = (boxes(0.1, 0.2, 0.6, 0.7), boxes(0.3, 0.1, 0.8, 0.55))
APART = (boxes(0.1, 0.2, 0.3, 0.4), boxes(0.5, 0.6, 0.8, 0.95))
COVER = torch.tensor([[0.3, 0.0, 0.0, 1.0, 0.0], [0.0] * 5, [0.0, 0.1, 0.5, 0.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([[True, False, False, True, False]] * 3)

CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "box_l1": (losses.box_l1, MEETING),
    "iou": (losses.iou, MEETING),
    "giou_loss of boxes that meet": (losses.giou_loss, MEETING),
    "giou_loss of boxes that do not": (losses.giou_loss, APART),
    "mixed_cross_entropy": (
        lambda x: losses.mixed_cross_entropy(
            x, torch.tensor([1, 4, 0]), losses.SoftTargets(numbers(3, 5, seed=1).to(x.dtype), 0.4)
        ),
        (LOGITS,),
    ),
    "next_token_loss with soft targets": (
        lambda x: losses.next_token_loss(
            x, IDS, torch.ones(2, 3), soft=losses.SoftTargets(numbers(2, 4, 5, seed=1).to(x.dtype), 0.4)
        ),
        (numbers(2, 4, 5),),
    ),
    "next_token_loss": (lambda x, w: losses.next_token_loss(x, IDS, w, 0.1), (numbers(2, 4, 5), numbers(2, 3).abs())),
    "next_token_log_probs": (lambda x: losses.next_token_log_probs(x, IDS), (numbers(2, 4, 5),)),
    "patch_text_loss": (lambda x: losses.patch_text_loss(x, LABELS, torch.tensor([True, False, True])), (LOGITS,)),
    "patch_text_softmax_loss": (lambda x: losses.patch_text_softmax_loss(x, COVER), (LOGITS,)),
    "policy_gradient_loss": (
        lambda x: losses.policy_gradient_loss(x, numbers(2, 3, seed=1).to(x.dtype)),
        (numbers(2, 3),),
    ),
    "text_log_probs": (lambda x: losses.text_log_probs(x, IDS, IDS > 0), (numbers(2, 4, 5),)),
    "sigmoid_contrast": (lambda x: losses.sigmoid_contrast(x, LABELS), (LOGITS,)),
    "soft_cross_entropy": (lambda x, t: losses.soft_cross_entropy(x, t), (LOGITS, TARGETS)),
    "soft_cross_entropy with empty places": (
        lambda x, t: losses.soft_cross_entropy(x, t, PRESENT),
        (LOGITS, TARGETS),
    ),
    "soft_cross_entropy with soft targets": (
        lambda x: losses.soft_cross_entropy(x, soften(TARGETS, LOGITS, PRESENT, 0.4).to(x.dtype), PRESENT),
        (LOGITS,),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    function, inputs = CASES[name]
    assert torch.autograd.gradcheck(function, tuple(tensor.clone().requires_grad_() for tensor in inputs))


def test_every_loss_is_checked_or_has_no_gradient() -> None:
    checked = {name for name in losses.__all__ if any(name in case for case in CASES)}
    assert checked | WITHOUT_GRADIENT == set(losses.__all__)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_losses_of_half_precision_are_float32(dtype: torch.dtype) -> None:
    for function, inputs in CASES.values():
        assert function(*(tensor.to(dtype) for tensor in inputs)).dtype == torch.float32
