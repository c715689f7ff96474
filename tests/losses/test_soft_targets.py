"""Cross-entropy that a momentum model softens, against the formulas of its sources."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.losses import SoftTargets, mixed_cross_entropy, next_token_loss


def numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_masked_words_equal_albefs_formula(alpha: float) -> None:
    """Logits of a whole caption, labels -100 where nothing is hidden: mean of the hard and of the soft part apart."""
    logits, logits_m = numbers(3, 5, 7, seed=0).requires_grad_(), numbers(3, 5, 7, seed=1)
    labels = torch.full((3, 5), -100)
    labels[0, 1], labels[1, 2], labels[2, 0], labels[2, 3] = 6, 0, 3, 3
    hard = F.cross_entropy(logits.view(-1, 7), labels.view(-1))
    soft = -torch.sum(F.log_softmax(logits, dim=-1) * F.softmax(logits_m, dim=-1), dim=-1)
    expected = (1 - alpha) * hard + alpha * soft[labels != -100].mean()
    hidden = labels != -100
    mixed = mixed_cross_entropy(logits[hidden], labels[hidden], SoftTargets(logits_m[hidden], alpha)).mean()
    assert abs(mixed.item() - expected.item()) < 1e-12
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (mixed, expected)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_next_tokens_equal_albefs_formula() -> None:
    """Shifted by one; both sides summed over the tokens of a text, here divided by their number."""
    logits, logits_m = numbers(2, 4, 6, seed=0).requires_grad_(), numbers(2, 4, 6, seed=1)
    ids, alpha = torch.tensor([[2, 5, 3, 0], [2, 4, 1, 3]]), 0.4
    labels = ids[:, 1:].masked_fill(ids[:, 1:] == 0, -100)
    shifted = logits[:, :-1]
    hard = F.cross_entropy(shifted.flatten(0, 1), labels.flatten(), reduction="none").view(2, -1).sum(1)
    soft = -torch.sum(F.log_softmax(shifted, dim=-1) * F.softmax(logits_m[:, :-1], dim=-1), dim=-1)
    expected = ((1 - alpha) * hard + alpha * (soft * (labels != -100)).sum(1)).sum() / 5
    loss = next_token_loss(logits, ids, (labels != -100).double(), soft=SoftTargets(logits_m, alpha))
    assert abs(loss.item() - expected.item()) < 1e-12
    gradients = [torch.autograd.grad(value, logits)[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_the_momentum_models_logits_get_no_gradient() -> None:
    logits, logits_m = numbers(3, 4, seed=0).requires_grad_(), numbers(3, 4, seed=1).requires_grad_()
    mixed_cross_entropy(logits, torch.tensor([0, 1, 2]), SoftTargets(logits_m, 0.5)).sum().backward()
    assert logits.grad is not None and logits_m.grad is None
