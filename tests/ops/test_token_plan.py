"""Token plans against loops, hand values and their own invariants."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.follow_plans import carry_weights, compose, scatter_back
from bus_toolkit.ops.make_plans import keep_plan, merge_plan, num_kept, top_indices
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.ops.token_plan import TokenPlan


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"),
    [(100, 0.29, 29), (100, 0.07, 7), (196, 0.5, 98), (9, 0.5, 4), (64, 0.001, 1), (7, 1.0, 7)],
)
def test_num_kept_rounds_down_without_float_error(patches: int, ratio: float, kept: int) -> None:
    assert num_kept(patches, ratio) == kept


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.0001])
def test_num_kept_refuses_a_ratio_outside_its_range(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"keep_ratio must be in \(0, 1\]"):
        num_kept(10, ratio)


def test_ties_go_to_the_lower_index() -> None:
    scores = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert top_indices(scores, 2).tolist() == [[1, 2], [0, 1]]


def test_kept_tokens_stay_in_positional_order() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.3, 0.8]])
    plan = keep_plan(scores, 2)
    tokens = torch.arange(4.0).view(1, 4, 1)
    assert apply_plan(tokens, plan).flatten().tolist() == [1.0, 3.0]
    assert plan.slots.tolist() == [[-1, 0, -1, 1]]


def test_keeping_everything_returns_the_very_tensor() -> None:
    tokens = torch.randn(2, 5, 3)
    plan = keep_plan(torch.randn(2, 5), 5, fuse=True)
    assert plan.is_identity
    assert apply_plan(tokens, plan) is tokens


def test_fused_token_is_the_weighted_mean_of_the_rest() -> None:
    scores = torch.tensor([[3.0, 0.0, 2.0, 1.0]])
    weights = torch.tensor([[9.0, 1.0, 9.0, 3.0]])
    tokens = torch.tensor([[[1.0], [2.0], [3.0], [6.0]]])
    plan = keep_plan(scores, 2, fuse=True, fuse_weights_BN=weights, eps=0.0)
    # Kept: 1 and 3; fused: (1 * 2 + 3 * 6) / 4 = 5.
    assert apply_plan(tokens, plan).flatten().tolist() == [1.0, 3.0, 5.0]
    rest = plan.weights[plan.slots == 2]
    assert rest.sum().item() == pytest.approx(1.0)


def test_uniform_weights_fuse_to_the_mean_of_the_dropped_tokens() -> None:
    tokens = torch.randn(2, 6, 4, dtype=torch.float64)
    scores = torch.arange(6.0, dtype=torch.float64).repeat(2, 1)
    out = apply_plan(tokens, keep_plan(scores, 2, fuse=True, eps=0.0))
    torch.testing.assert_close(out[:, -1], tokens[:, :4].mean(dim=1))


def test_raw_weights_are_not_normalised() -> None:
    tokens = torch.ones(1, 3, 1)
    weights = torch.tensor([[0.5, 0.25, 0.1]])
    plan = keep_plan(torch.tensor([[0.0, 1.0, 2.0]]), 1, fuse=True, fuse_weights_BN=weights, normalize=False)
    assert apply_plan(tokens, plan)[0, -1].item() == pytest.approx(0.75)


def test_fused_weights_carry_gradient_and_kept_scores_do_not() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]], requires_grad=True)
    plan = keep_plan(scores, 2, fuse=True, fuse_weights_BN=scores.sigmoid())
    apply_plan(torch.randn(1, 4, 3), plan).sum().backward()
    assert scores.grad is not None
    assert scores.grad[0, :2].abs().sum() == 0
    assert scores.grad[0, 2:].abs().sum() > 0


def test_keep_plan_refuses_a_count_outside_its_range() -> None:
    with pytest.raises(ValueError, match="count must be between 1 and 4"):
        keep_plan(torch.randn(1, 4), 5)


def test_merging_equals_a_slow_size_weighted_mean() -> None:
    tokens = torch.randn(2, 5, 3, dtype=torch.float64)
    keep = torch.tensor([[0, 3], [1, 4]])
    target = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]])
    sizes = torch.tensor([[1.0, 2.0, 1.0, 3.0, 1.0], [1.0, 1.0, 4.0, 1.0, 2.0]], dtype=torch.float64)
    out = apply_plan(tokens, merge_plan(keep, target, sizes))
    for b in range(2):
        for slot in range(2):
            members = [i for i in range(5) if target[b, i] == slot]
            total = sum(sizes[b, i] for i in members)
            expected = sum(sizes[b, i] * tokens[b, i] for i in members) / total
            torch.testing.assert_close(out[b, slot], expected)


def test_composition_follows_patches_through_two_plans() -> None:
    first = keep_plan(torch.tensor([[5.0, 1.0, 4.0, 0.0, 3.0]]), 3, fuse=True)
    # Slots now: patch 0 -> 0, patch 2 -> 1, patch 4 -> 2, patches 1 and 3 -> 3 (fused).
    second = keep_plan(torch.tensor([[0.0, 2.0, -1.0, 1.0]]), 2)
    assert compose(first.slots, second).tolist() == [[-1, 1, 0, 1, -1]]


def test_scatter_back_restores_the_grid() -> None:
    tokens = torch.randn(2, 6, 4)
    plan = keep_plan(torch.randn(2, 6), 3)
    grid = scatter_back(apply_plan(tokens, plan), plan.slots)
    kept = plan.slots >= 0
    assert torch.equal(grid[kept], tokens[kept])
    assert grid[~kept].abs().sum() == 0


def test_key_weights_follow_their_tokens_and_add_up_where_these_meet() -> None:
    weights = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    scores = torch.tensor([[0.1, 0.9, 0.2, 0.8]])
    assert carry_weights(None, keep_plan(scores, 2)) is None
    assert carry_weights(weights, keep_plan(scores, 4)) is weights
    assert carry_weights(weights, keep_plan(scores, 2)).tolist() == [[2.0, 8.0]]
    assert carry_weights(weights, keep_plan(scores, 2, fuse=True)).tolist() == [[2.0, 8.0, 5.0]]
    merged = merge_plan(torch.tensor([[1, 3]]), torch.tensor([[0, 0, 1, 1]]))
    assert carry_weights(weights, merged).tolist() == [[3.0, 12.0]]
    own = replace(merged, key_weights=torch.tensor([[5.0, 6.0]]))
    assert carry_weights(weights, own).tolist() == [[5.0, 6.0]]


def slow_apply(tokens: torch.Tensor, plan: TokenPlan) -> torch.Tensor:
    """Each slot is the weighted sum of its tokens, one by one."""
    out = torch.zeros(tokens.shape[0], plan.num_slots, tokens.shape[2])
    for row in range(tokens.shape[0]):
        for place in range(plan.num_inputs):
            slot = int(plan.slots[row, place])
            if slot >= 0:
                out[row, slot] += plan.weights[row, place] * tokens[row, place]
    return out


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("num_prefix", [0, 2])
def test_a_plan_may_keep_merge_fuse_and_drop_at_once(fused: bool, num_prefix: int) -> None:
    tokens = torch.randn(2, num_prefix + 6, 3)
    keep = torch.tensor([[1, 4], [0, 3]])
    slots = torch.tensor([[0, 0, -1, 2 if fused else -1, 1, 0], [0, -1, 1, 1, -1, 0]])
    weights = torch.rand(2, 6)
    weights[0, 4] = 1.0  # kept alone
    weights.requires_grad_()
    plan = TokenPlan(keep, slots, weights, fused=fused, merging=True)
    out = apply_plan(tokens, plan, num_prefix=num_prefix)
    assert torch.equal(out[:, :num_prefix], tokens[:, :num_prefix])
    torch.testing.assert_close(out[:, num_prefix:], slow_apply(tokens[:, num_prefix:], plan))
    out.square().sum().backward()
    own = weights.grad
    weights.grad = None
    slow_apply(tokens[:, num_prefix:], plan).square().sum().backward()
    assert own is not None and weights.grad is not None
    weights.grad[0, 4] = 0.0  # the token that is kept alone is copied, whatever its weight
    torch.testing.assert_close(own, weights.grad)


def test_gathered_rows_pass_gradient_once_each_also_when_asked_for_twice() -> None:
    tokens = torch.randn(2, 4, 3, requires_grad=True)
    indices = torch.tensor([[0, 3, 3], [2, 1, 0]])
    out = gather_tokens(tokens, indices)
    torch.testing.assert_close(out, torch.stack([tokens[row, indices[row]] for row in range(2)]))
    out.sum().backward()
    assert tokens.grad is not None
    assert tokens.grad[..., 0].tolist() == [[1, 0, 0, 2], [1, 1, 1, 0]]
