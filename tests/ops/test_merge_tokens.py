"""Merged tokens and their gradients, against the published form and against sums in a loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bus_toolkit.ops import TokenPlan, merge_plan
from bus_toolkit.ops.merge_tokens import merge_tokens
from tests.ops.published_merge import ours, published


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_tokens_and_gradients_are_those_of_the_published_form(count: int) -> None:
    tokens, metric = numbers(3, 17, 6).requires_grad_(), numbers(3, 17, 4, seed=1)
    sizes = numbers(3, 17, 1, seed=2).abs().add(0.5)
    upstream = numbers(3, 17 - count, 6, seed=3)
    results = []
    for out in (ours(tokens, metric, sizes, count), published(tokens, metric, sizes, count)[0]):
        (gradient,) = torch.autograd.grad(out, tokens, upstream)
        results.append((out, gradient))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def slow(tokens: Tensor, plan: TokenPlan, num_prefix: int) -> Tensor:
    """Return the sums of each slot by a loop over tokens; a token alone in its slot counts once."""
    rows = []
    for row in range(len(tokens)):
        slots = plan.slots[row].tolist()
        sums = list(tokens[row, :num_prefix])
        for slot in range(plan.keep_indices.shape[1]):
            members = [place for place, of in enumerate(slots) if of == slot]
            parts = [tokens[row, num_prefix + m] * (plan.weights[row, m] if len(members) > 1 else 1) for m in members]
            sums.append(torch.stack(parts).sum(dim=0))
        rows.append(torch.stack(sums))
    return torch.stack(rows)


@pytest.mark.parametrize("num_prefix", [0, 2])
def test_sums_and_gradients_are_those_of_a_loop(num_prefix: int) -> None:
    keep, slots = torch.tensor([[4, 0, 2]]), torch.tensor([[1, 1, 2, 3, 0, -1]])  # 3 is the fused slot, -1 is dropped
    weights, tokens = numbers(1, 6, seed=4).requires_grad_(), numbers(1, num_prefix + 6, 3).requires_grad_()
    plan = TokenPlan(keep, slots, weights, fused=True, merging=True)
    fast, loop = merge_tokens(tokens, plan, num_prefix=num_prefix), slow(tokens, plan, num_prefix)
    torch.testing.assert_close(fast, loop)
    upstream = numbers(*loop.shape, seed=5)
    wanted = torch.autograd.grad(loop, (tokens, weights), upstream)
    for got, right in zip(torch.autograd.grad(fast, (tokens, weights), upstream), wanted, strict=True):
        torch.testing.assert_close(got, right)


def test_half_precision_keeps_its_type_and_no_gradient_of_the_weights_is_computed() -> None:
    plan = merge_plan(torch.tensor([[0, 2]]), torch.tensor([[0, 0, 1, 1]]))
    tokens = numbers(1, 4, 2).bfloat16().requires_grad_()
    out = merge_tokens(tokens, replace(plan, weights=plan.weights.float()))
    out.float().sum().backward()
    assert out.dtype is torch.bfloat16
    assert tokens.grad is not None and torch.equal(tokens.grad, torch.full_like(tokens, 0.5))
    assert not plan.weights.requires_grad
