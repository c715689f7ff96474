"""Bipartite merging against a slow loop."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.ops.bipartite import bipartite_merge_plan, similarity_of_halves
from bus_toolkit.ops.token_plan import apply_plan


def slow_merge(tokens: torch.Tensor, metric: torch.Tensor, sizes: list[float], count: int) -> torch.Tensor:
    """Merge one sample's tokens (N, D) by the words of the paper, in loops."""
    unit = metric / metric.norm(dim=1, keepdim=True)
    first, second = range(1, len(tokens), 2), range(0, len(tokens), 2)
    best = {a: max(second, key=lambda b, a=a: float(unit[a] @ unit[b])) for a in first}
    gone = sorted(first, key=lambda a: -float(unit[a] @ unit[best[a]]))[:count]
    out = []
    for place in range(len(tokens)):
        if place not in gone:
            members = [place, *(a for a in gone if best[a] == place)]
            total = sum(sizes[m] for m in members)
            out.append(sum(sizes[m] / total * tokens[m] for m in members))
    return torch.stack(out)


@pytest.mark.parametrize(("num_tokens", "count"), [(8, 3), (9, 4), (9, 0), (2, 1)])
def test_equals_the_slow_loop_and_keeps_the_order(num_tokens: int, count: int) -> None:
    generator = torch.Generator().manual_seed(num_tokens + count)
    tokens, metric = (torch.randn(3, num_tokens, d, generator=generator).double() for d in (5, 4))
    sizes = torch.randint(1, 4, (3, num_tokens), generator=generator).double()
    plan = bipartite_merge_plan(similarity_of_halves(metric), count, sizes)
    expected = torch.stack([slow_merge(tokens[i], metric[i], sizes[i].tolist(), count) for i in range(3)])
    torch.testing.assert_close(apply_plan(tokens, plan), expected)
    assert (plan.keep_indices.diff(dim=1) > 0).all()


def test_no_gradient_flows_through_the_choice() -> None:
    metric = torch.randn(1, 6, 4, requires_grad=True)
    plan = bipartite_merge_plan(similarity_of_halves(metric), 2, torch.ones(1, 6))
    assert not plan.weights.requires_grad


def test_more_than_the_first_set_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="count must be between 0 and 3, got 4"):
        bipartite_merge_plan(torch.zeros(1, 3, 3), 4, torch.ones(1, 6))
