"""MADTP: importance and threshold by slow loops, what closing does, no batch mates."""

from __future__ import annotations

import pytest
import torch
from bus_cross_modal.madtp import MADTPSelector
from torch import Tensor

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.selectors import BlockView
from bus_toolkit.structures import VisualTokens
from bus_toolkit.testing import tiny


class GivenBlock:
    """A block whose attention and normed patches are given."""

    def __init__(self, received: Tensor, cls: Tensor, normed: Tensor) -> None:
        self._received, self._cls, self._normed = received, cls, normed

    def attention_received(self) -> Tensor:
        return self._received

    def cls_attention(self) -> Tensor:
        return self._cls

    def normed(self) -> Tensor:
        return self._normed


def view(number: int = 12, key_weights: Tensor | None = None) -> BlockView:
    normed = tiny.numbers(3, number, 8, seed=1).double()
    received, cls = (tiny.numbers(3, number, seed=seed).double().exp() for seed in (2, 3))
    origin = torch.arange(number).expand(3, -1)
    block = GivenBlock(received, cls, normed)
    return BlockView(2.0 * normed, normed[:, :1], None, origin, 1, key_weights, block, (1, origin.shape[1]))  # type: ignore[arg-type]


def selector(**settings: object) -> MADTPSelector:
    torch.manual_seed(0)
    return MADTPSelector(**{"blocks": [1], "embed_dim": 8, "num_tokens": 5, **settings}).double()  # type: ignore[arg-type]


def slow_importance_and_threshold(part: MADTPSelector, seen: BlockView, row: int) -> tuple[Tensor, float]:
    inside = seen.inside
    received, cls, patches = inside.attention_received()[row], inside.cls_attention()[row], inside.normed()[row]
    logits = [[float(patch @ token) / 8**0.5 for token in part.shared_tokens.detach()] for patch in patches]
    best = torch.tensor([max(line) for line in logits]).double().exp()
    importance = (received / received.sum() + cls / cls.sum() + best / best.sum()) / 3
    means = []
    for token in range(len(part.shared_tokens)):
        weights = torch.tensor([line[token] / part.temperature for line in logits]).double().exp()
        means.append(float((weights / weights.sum() * importance).sum()))
    return importance, min(means)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_importance_threshold_and_what_is_closed_are_the_obvious_ones(temperature: float) -> None:
    part, seen = selector(keep_ratio=0.75, temperature=temperature), view()
    decision = part(seen)
    plan, scores, guide = decision.plan, decision.scores, decision.guide
    assert plan.key_weights is not None and guide is not None
    for row in range(3):
        importance, threshold = slow_importance_and_threshold(part, seen, row)
        torch.testing.assert_close(scores[row], importance)
        kept = importance.topk(9).indices.sort().values
        assert plan.keep_indices[row].tolist() == kept.tolist()
        assert plan.key_weights[row, :9].tolist() == (importance[kept] > threshold).double().tolist()
        assert plan.key_weights[row, 9].item() == pytest.approx(1.0, abs=1e-4), "the fused token counts as one key"
        rest = [i for i in range(12) if i not in kept.tolist()]
        torch.testing.assert_close(plan.weights[row, rest].sum().item(), 1.0, atol=1e-4, rtol=0.0)
    closed = (plan.key_weights[:, :9] == 0).sum(dim=1)
    assert closed.sum() > 0 and (closed < 9).all(), "the example closes some"


def test_the_answers_are_the_attention_of_the_shared_tokens() -> None:
    part, seen = selector(), view()
    guide = part(seen).guide
    assert guide is not None and guide.tokens is part.shared_tokens
    normed = seen.inside.normed()
    wanted = torch.nn.functional.scaled_dot_product_attention(part.shared_tokens.expand(3, -1, -1), normed, normed)
    torch.testing.assert_close(guide.answers, wanted)


def test_with_one_shared_token_and_a_high_temperature_the_threshold_is_the_mean_importance() -> None:
    part, seen = selector(num_tokens=1, temperature=1e9), view()
    importance = part(seen).scores
    threshold = part.threshold(importance, part.alignment(seen.inside.normed(), None))
    torch.testing.assert_close(threshold, torch.full((3, 1), 1 / 12).double())


def test_keeping_all_closes_none() -> None:
    plan = selector(keep_ratio=1.0)(view()).plan
    assert plan.is_identity and plan.key_weights is None


def test_what_was_closed_before_neither_aligns_nor_opens_again() -> None:
    earlier = torch.ones(3, 12).double()
    earlier[:, [2, 5]] = 0.0
    part, seen = selector(keep_ratio=0.75), view(key_weights=earlier)
    alignment = part.alignment(seen.inside.normed(), earlier)
    assert (alignment.softmax(dim=1)[:, [2, 5]] < 1e-4).all()
    plan = part(seen).plan
    assert plan.key_weights is not None
    assert not plan.key_weights[:, :9][(plan.keep_indices == 2) | (plan.keep_indices == 5)].any()


def encode(part: MADTPSelector, images: Tensor) -> VisualTokens:
    return TokenReducingBackbone(tiny.vision_transformer(), [part])(images)


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    """The published code keeps the maximum of the batch; here images close different numbers and stay themselves."""
    torch.manual_seed(0)
    part = MADTPSelector(blocks=[1, 2], embed_dim=tiny.WIDTH, keep_ratio=0.75, num_tokens=4)
    images = tiny.numbers(6, 3, tiny.SIDE, tiny.SIDE, seed=5)
    together = encode(part, images)
    first = together.selections[0].decision.plan.key_weights
    assert first is not None and len(set((first > 0).sum(dim=1).tolist())) > 1
    for row in range(6):
        alone = encode(part, images[row : row + 1])
        torch.testing.assert_close(alone.embeds, together.embeds[row : row + 1], atol=1e-4, rtol=1e-4)
        for one, all_ in zip(alone.selections, together.selections, strict=True):
            torch.testing.assert_close(
                one.decision.plan.key_weights[0], all_.decision.plan.key_weights[row], atol=1e-5, rtol=0.0
            )


def test_closed_patches_are_not_read_by_later_blocks() -> None:
    torch.manual_seed(0)
    part = MADTPSelector(blocks=[1], embed_dim=tiny.WIDTH, keep_ratio=0.75, num_tokens=4)
    vit = tiny.vision_transformer()
    states: list[Tensor] = []

    def note(module: object, args: object, out: Tensor) -> None:
        out.retain_grad()
        states.append(out)

    handle = vit.layers[1].ln1.register_forward_hook(note)
    try:
        visual = encode(part, tiny.numbers(2, 3, tiny.SIDE, tiny.SIDE).requires_grad_())
    finally:
        handle.remove()
    visual.cls.square().sum().backward()
    closed = visual.selections[0].decision.plan.key_weights == 0
    influence = states[0].grad[:, 1:].abs().amax(dim=-1)
    assert closed.any() and influence[closed].max() < 1e-3 * influence[~closed].max()


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="num_tokens and temperature: must be 1 or more and above 0, got 0 and 1.0"):
        MADTPSelector(blocks=[1], embed_dim=8, num_tokens=0)
    with pytest.raises(ValueError, match="must be 1 or more and above 0, got 100 and 0.0"):
        MADTPSelector(blocks=[1], embed_dim=8, temperature=0.0)
    with pytest.raises(ValueError, match="fuse: must be one of none, normalized, raw, got 'mean'"):
        MADTPSelector(blocks=[1], embed_dim=8, fuse="mean")  # type: ignore[arg-type]
