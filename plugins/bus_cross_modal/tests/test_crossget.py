"""CrossGET: figures of its published code, a slow obvious matching, its queries, its guide."""

from __future__ import annotations

import math

import pytest
import torch
from bus_cross_modal.complete_graph import complete_graph_plan
from bus_cross_modal.crossget import CrossGETSelector
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.ops import TokenPlan, apply_plan
from bus_toolkit.testing import tiny


def fill(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """Return ``sin(a k + b)`` over the flattened index k, in float64."""
    return torch.sin(a * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + b).reshape(shape)


def slot_sizes(plan: TokenPlan) -> Tensor:
    counts = torch.zeros(plan.slots.shape[0], plan.num_slots, dtype=torch.long)
    return counts.scatter_add(1, plan.slots, torch.ones_like(plan.slots))


def test_reproduces_its_published_code() -> None:
    """sdc17/CrossGET at dc329753, four tokens merged; first and last token (CLS and cross token) protected.

    Many similarities tie there. The stable order with ties to the lower index, which is ours, gives its figures.
    """
    x, keys, queries = fill((2, 17, 8), 0.73, 0.2), fill((2, 17, 4), 1.37, 0.5), fill((2, 17, 4), 0.91, 0.1)
    importance = F.cosine_similarity(keys[:, 1:16], queries[:, 16:], dim=-1)
    plan = complete_graph_plan(keys[:, 1:16], importance, 4, torch.ones(2, 15, dtype=torch.float64))
    out = torch.cat([x[:, :1], apply_plan(x[:, 1:16], plan), x[:, 16:]], dim=1)
    assert out.shape == (2, 13, 8)
    assert out.sum().item() == pytest.approx(2.385937397, abs=1e-8)
    assert out.abs().sum().item() == pytest.approx(119.251862999, abs=1e-8)
    assert slot_sizes(plan).tolist() == [[1, 1, 1, 1, 1, 1, 3, 3, 1, 1, 1], [1, 3, 1, 1, 1, 1, 3, 1, 1, 1, 1]]
    ones = torch.ones(2, 11, dtype=torch.float64)
    torch.testing.assert_close(torch.zeros_like(ones).scatter_add(1, plan.slots, plan.weights), ones)


def slow_matching(x: Tensor, metric: Tensor, importance: Tensor, count: int, sizes: Tensor) -> Tensor:
    """Merge the tokens of one image, pair by pair."""
    number = len(metric)
    unit = metric / metric.norm(dim=1, keepdim=True)
    cosine = [[float(unit[i] @ unit[j]) if i != j else -math.inf for j in range(number)] for i in range(number)]
    cosine = [[(cosine[i][j] + cosine[j][i]) / 2 for j in range(number)] for i in range(number)]
    ranked = sorted(range(number), key=lambda i: -max(cosine[i]))
    allowed = {i: ranked[place + 1 :] for place, i in enumerate(ranked)}
    nearest = [max((cosine[i][j] for j in allowed[i]), default=-math.inf) for i in range(number)]
    merged = sorted(range(number), key=lambda i: float(importance[i]) - nearest[i])[:count]
    stay = [i for i in range(number) if i not in merged]
    sums = {i: x[i] * sizes[i] for i in stay}
    totals = {i: float(sizes[i]) for i in stay}
    for i in merged:
        j = max(stay, key=lambda j: cosine[i][j])
        own, other = torch.stack([importance[i], importance[j]]).softmax(dim=0)
        sums[j] = sums[j] + 2 * own * sizes[i] * x[i] + (2 * other - 1) * sizes[j] * x[j]
        totals[j] += float(sizes[i])
    return torch.stack([sums[i] / totals[i] for i in stay])


@pytest.mark.parametrize("count", [0, 1, 5, 10])
def test_the_matching_is_the_obvious_one(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    x, metric = torch.randn(3, 21, 8, generator=generator).double(), torch.randn(3, 21, 4, generator=generator).double()
    importance = torch.rand(3, 21, generator=generator).double() * 2 - 1
    sizes = torch.randint(1, 5, (3, 21), generator=generator).double()
    got = apply_plan(x, complete_graph_plan(metric, importance, count, sizes))
    wanted = torch.stack([slow_matching(x[b], metric[b], importance[b], count, sizes[b]) for b in range(3)])
    torch.testing.assert_close(got, wanted)


def test_important_tokens_are_not_merged_away() -> None:
    """Two pairs of equal tokens: of the more important pair, and of that pair only, both stay."""
    metric = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    plan = complete_graph_plan(metric, torch.tensor([[0.9, 0.9, -0.5, -0.5]]), 1, torch.ones(1, 4))
    assert plan.keep_indices.tolist() == [[0, 1, 3]] and plan.slots.tolist() == [[0, 1, 2, 2]]


def test_a_pair_is_weighed_by_the_softmax_of_its_importances() -> None:
    plan = complete_graph_plan(torch.ones(1, 2, 3), torch.tensor([[0.2, 0.6]]), 1, torch.ones(1, 2))
    torch.testing.assert_close(plan.weights, torch.tensor([[0.2, 0.6]]).softmax(dim=1))


def test_refuses_to_merge_more_than_half() -> None:
    with pytest.raises(ValueError, match="complete_graph_plan: count must be between 0 and 2, got 3"):
        complete_graph_plan(torch.ones(1, 5, 3), torch.ones(1, 5), 3, torch.ones(1, 5))
    with pytest.raises(ValueError, match="num_merged: must be 0 or more tokens, got -1"):
        CrossGETSelector(blocks=[1], embed_dim=8, num_merged=-1)


def run(selector: CrossGETSelector) -> list:
    backbone = TokenReducingBackbone(tiny.vision_transformer(), [selector])
    return backbone(tiny.numbers(2, 3, tiny.SIDE, tiny.SIDE)).selections


def test_each_block_asks_by_its_own_token() -> None:
    """The score is the cosine of the mean-head query of the layer-normed token and the mean-head keys, by hand."""
    torch.manual_seed(0)
    selector = CrossGETSelector(blocks=[4, 2], embed_dim=tiny.WIDTH, num_merged=3)
    seen = []
    selector.register_forward_pre_hook(lambda module, args: seen.append((args[0].block, args[0].inside.keys())))
    selections = run(selector)
    assert [s.block for s in selections] == [2, 4] and [s.decision.plan.num_slots for s in selections] == [13, 10]
    for row, ((block, keys), selection) in enumerate(zip(seen, selections, strict=True)):
        token = selector.cross_tokens[row]
        assert selection.decision.guide is not None and torch.equal(selection.decision.guide.tokens[0], token)
        assert selection.decision.guide.answers.shape == (2, 1, tiny.WIDTH)
        qkv = tiny.vision_transformer().layers[block - 1].attn.qkv
        normed = (token - token.mean()) / (token.var(unbiased=False) + 1e-5).sqrt()
        query = (normed @ qkv.weight[: tiny.WIDTH].t() + qkv.bias[: tiny.WIDTH]).reshape(4, 8).mean(dim=0)
        wanted = F.cosine_similarity(keys.mean(dim=2), query.expand(2, keys.shape[1], 8), dim=-1)
        torch.testing.assert_close(selection.decision.scores, wanted)


def test_sizes_count_in_later_attention_by_default() -> None:
    first, second = run(CrossGETSelector(blocks=[1, 2], embed_dim=tiny.WIDTH, num_merged=6))
    counts = [selection.decision.plan.key_weights.sum(dim=1).tolist() for selection in (first, second)]
    assert counts == [[16, 16]] * 2
    assert second.decision.plan.num_slots == 5, "at most half of the 10 that were left"
    (only,) = run(CrossGETSelector(blocks=[1], embed_dim=tiny.WIDTH, proportional=False))
    assert only.decision.plan.key_weights is None


def test_no_gradient_reaches_the_cross_tokens_through_the_merging() -> None:
    selector = CrossGETSelector(blocks=[2], embed_dim=tiny.WIDTH, keep_ratio=0.6)
    backbone = TokenReducingBackbone(tiny.vision_transformer(), [selector])
    images = tiny.numbers(2, 3, tiny.SIDE, tiny.SIDE).requires_grad_()
    backbone(images).embeds.sum().backward()
    assert selector.cross_tokens.grad is None and images.grad is not None
