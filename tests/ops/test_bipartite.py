"""Bipartite merging against a slow loop, and against figures of ToMe's published code over three merges in a row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.bipartite import bipartite_halves, bipartite_merge_plan, similarity_of_halves
from tests.slow_tome import slow_merge

PREFIXES = (0, 1, 2, 5)


def fill(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """Return ``sin(a k + b)`` over the flattened index k, in float64."""
    return torch.sin(a * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + b).reshape(shape)


def merged(tokens: Tensor, sizes: Tensor, metric: Tensor, count: int, num_prefix: int) -> tuple[Tensor, Tensor]:
    """Merge by the op; tokens (B, P + N, D), sizes and metric with the prefix too."""
    edges = similarity_of_halves(metric[:, num_prefix:], num_prefix=num_prefix)
    plan = bipartite_merge_plan(edges, count, sizes[:, num_prefix:], num_prefix=num_prefix)
    totals = torch.zeros_like(sizes[:, : plan.num_slots]).scatter_add(1, plan.slots, sizes[:, num_prefix:])
    return apply_plan(tokens, plan, num_prefix=num_prefix), torch.cat([sizes[:, :num_prefix], totals], dim=1)


@pytest.mark.parametrize("num_prefix", PREFIXES)
@pytest.mark.parametrize("counts", [(3, 3, 2), (1, 0, 4), (8,)])
def test_every_merge_in_a_row_equals_the_slow_one_in_its_order(num_prefix: int, counts: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(num_prefix)
    tokens = torch.randn(3, num_prefix + 17, 6, generator=generator).double()
    sizes = torch.ones(tokens.shape[:2]).double()
    wanted = [(tokens[row], sizes[row]) for row in range(3)]
    for count in counts:
        tokens, sizes = merged(tokens, sizes, tokens[..., :4], count, num_prefix)
        wanted = [slow_merge(x, size, x[:, :4], count, num_prefix) for x, size in wanted]
        torch.testing.assert_close(tokens, torch.stack([x for x, _ in wanted]), atol=1e-8, rtol=0.0)
        torch.testing.assert_close(sizes, torch.stack([size for _, size in wanted]), atol=0.0, rtol=0.0)


def test_three_merges_in_a_row_reproduce_the_published_code() -> None:
    """facebookresearch/ToMe at af95e4b1: r = 4, 3, 2, keys = the first 4 channels of the current tokens."""
    figures = [
        (4, 13, 1.754636778, 129.998630537, 131.524933055, ([3, 2, 2] + 10 * [1], [3, 2, 2] + 10 * [1])),
        (3, 10, 0.828052033, 99.618553884, 129.553845464, ([3, 3, 2, 2, 2] + 5 * [1], [3, 3, 2, 2, 2] + 5 * [1])),
        (2, 8, 1.887684205, 79.083937091, 125.635214823, ([3, 3, 3, 3, 2, 1, 1, 1], [3, 3, 3, 2, 2, 2, 1, 1])),
    ]
    tokens, sizes = fill((2, 17, 8), 0.73, 0.2), torch.ones(2, 17).double()
    for count, left, total, absolute, weighted, sorted_sizes in figures:
        tokens, sizes = merged(tokens, sizes, tokens[..., :4], count, 1)
        assert tokens.shape == (2, left, 8)
        assert tokens.sum().item() == pytest.approx(total, abs=1e-8)
        assert tokens.abs().sum().item() == pytest.approx(absolute, abs=1e-8)
        assert (sizes * tokens.square().sum(dim=2)).sum().item() == pytest.approx(weighted, abs=1e-8)
        assert sizes.sort(dim=1, descending=True).values.tolist() == [list(map(float, row)) for row in sorted_sizes]


def test_the_sets_follow_the_places_in_the_whole_sequence() -> None:
    for num_prefix in range(7):
        first, second = bipartite_halves(num_prefix)
        patches = torch.arange(num_prefix, num_prefix + 9)
        assert (patches[first] % 2 == 0).all() and (patches[second] % 2 == 1).all()


@pytest.mark.parametrize("num_prefix", PREFIXES)
def test_nothing_to_merge_leaves_the_order(num_prefix: int) -> None:
    for number in (1, 2, 5):
        metric = torch.randn(2, number, 4)
        edges = similarity_of_halves(metric, num_prefix=num_prefix)
        assert bipartite_merge_plan(edges, 0, torch.ones(2, number), num_prefix=num_prefix).is_identity


def test_ties_go_to_the_lower_index_and_no_row_depends_on_another() -> None:
    plan = bipartite_merge_plan(torch.ones(1, 3, 3), 1, torch.ones(1, 6), num_prefix=1)
    assert plan.keep_indices.tolist() == [[3, 5, 0, 2, 4]] and plan.slots.tolist() == [[2, 2, 3, 0, 4, 1]]
    edges = torch.randn(3, 4, 4)
    together = bipartite_merge_plan(edges, 2, torch.ones(3, 8), num_prefix=0)
    for row in range(3):
        alone = bipartite_merge_plan(edges[row : row + 1], 2, torch.ones(1, 8), num_prefix=0)
        assert torch.equal(alone.keep_indices[0], together.keep_indices[row])


def test_no_gradient_flows_through_the_choice() -> None:
    metric = torch.randn(1, 6, 4, requires_grad=True)
    plan = bipartite_merge_plan(similarity_of_halves(metric, num_prefix=1), 2, torch.ones(1, 6), num_prefix=1)
    assert not plan.weights.requires_grad


def test_more_than_the_first_set_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="count must be between 0 and 3, got 4"):
        bipartite_merge_plan(torch.zeros(1, 3, 3), 4, torch.ones(1, 6), num_prefix=1)
    with pytest.raises(ValueError, match="count must be between 0 and 0, got 1"):
        bipartite_merge_plan(torch.zeros(1, 1, 0), 1, torch.ones(1, 1), num_prefix=0)


def test_a_token_that_holds_nothing_merges_away_first_and_takes_up_none() -> None:
    edges = torch.tensor([[[0.9, 0.1, 0.2], [0.1, 0.8, 0.3], [0.0, 0.1, 0.2]]])
    sizes = torch.ones(1, 6)
    sizes[0, 5] = 0.0  # the last of the first set
    assert bipartite_merge_plan(edges, 1, sizes, num_prefix=1).keep_indices.tolist() == [[1, 3, 0, 2, 4]]
    sizes = torch.ones(1, 6)
    sizes[0, 0] = 0.0  # the best partner of token 1
    plan = bipartite_merge_plan(edges, 2, sizes, num_prefix=1)
    assert plan.keep_indices.tolist() == [[5, 0, 2, 4]] and plan.slots.tolist() == [[1, 3, 2, 2, 3, 0]]
