"""The scorer of BUS against the formula on concatenated inputs, and where its gradient goes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.selectors.view import BlockView
from tests.tiny import WIDTH, block_view, text_tokens


def view(requires_grad: bool = False) -> BlockView:
    patches = torch.randn(3, 10, WIDTH, generator=torch.Generator().manual_seed(4), requires_grad=requires_grad)
    return block_view(patches, text_tokens())


def selector(**kwargs: object) -> TextSemanticPatchSelector:
    torch.manual_seed(0)
    return TextSemanticPatchSelector(blocks=[1], embed_dim=WIDTH, text_dim=WIDTH, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("interaction", ["concat", "product"])
def test_scores_equal_the_mlp_on_the_concatenation(interaction: str) -> None:
    tsps, seen = selector(interaction=interaction), view()
    assert seen.text is not None
    x = tsps.norm(seen.patches)
    c = tsps.text_proj(seen.text.pooled).unsqueeze(1).expand_as(x)
    parts, weights = [x, c], [tsps.patch_in.weight, tsps.text_in.weight]
    if tsps.product_in is not None:
        parts, weights = [*parts, x * c], [*weights, tsps.product_in.weight]
    first = F.linear(torch.cat(parts, dim=-1), torch.cat(weights, dim=1), tsps.patch_in.bias)
    expected = tsps.out(F.gelu(tsps.hidden(F.gelu(first)))).squeeze(-1)
    torch.testing.assert_close(tsps.score(seen), expected)


def test_the_fused_token_weighs_the_rest_by_probability() -> None:
    tsps, seen = selector(), view()
    plan, scores, *_ = tsps(seen)
    probability = torch.sigmoid(scores)
    for row in range(3):
        rest = [i for i in range(10) if i not in plan.keep_indices[row].tolist()]
        weights = probability[row, rest] / (probability[row, rest].sum() + 1e-6)
        expected = (weights.unsqueeze(-1) * seen.patches[row, rest]).sum(dim=0)
        torch.testing.assert_close(apply_plan(seen.patches, plan)[row, -1], expected)


@pytest.mark.parametrize("detached", [False, True])
def test_gradient_reaches_the_scorer_only_through_weights_that_are_not_detached(detached: bool) -> None:
    tsps, seen = selector(detach_fused=detached), view()
    plan = tsps(seen).plan
    out = apply_plan(seen.patches, plan)
    assert out.requires_grad is not detached


def test_an_unknown_interaction_is_refused() -> None:
    with pytest.raises(ValueError, match="interaction: must be concat or product, got 'sum'"):
        selector(interaction="sum")


def test_scores_stay_float32_under_half_precision_so_that_few_patches_tie() -> None:
    tsps, seen = selector(), view()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = tsps.score(seen)
    assert scores.dtype == torch.float32
    assert scores.unique().numel() == scores.numel()


def test_noise_chooses_by_the_softmax_of_the_scores_and_in_training_alone() -> None:
    """The largest score with Gumbel noise is a draw from their softmax."""
    tsps = selector(noise=1.0)
    scores = torch.log(torch.tensor([0.1, 0.3, 0.6])).expand(4000, -1)
    shares = tsps.ranking(scores).argmax(dim=1).bincount() / 4000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.3, 0.6]), atol=0.03, rtol=0)
    assert torch.equal(tsps.eval().ranking(scores), scores)


def test_scores_and_weights_that_others_read_have_no_noise() -> None:
    noisy, plain = selector(noise=100.0)(view()), selector()(view())
    assert torch.equal(noisy.scores, plain.scores)
    assert not torch.equal(noisy.plan.keep_indices, plain.plan.keep_indices)


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="noise: must be 0 or more, and finite, got -1.0"):
        selector(noise=-1.0)
