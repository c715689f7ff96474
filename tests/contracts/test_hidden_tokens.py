"""A patch that a mask hides is as good as gone for whatever reads the tokens: backbone, decoders, grounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from bus_cross_modal.madtp import MADTPSelector
from bus_text_free.dynamic_vit import DynamicViTSelector

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.losses.patch_text import patch_text_loss, patch_text_softmax_loss
from bus_toolkit.ops import keep_plan
from bus_toolkit.ops.patch_labels import carry_to_candidates
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, VisualTokens
from bus_toolkit.testing import tiny, tiny_model
from tests.backbones.adapters.vit_likes import VIT_LIKES
from tests.tiny import images, tiny_vit

HIDDEN = 6


class Masking(PatchSelector):
    """Hides the last six patches; with ``gone`` they are dropped."""

    gone = False

    def forward(self, view: BlockView) -> Decision:
        batch, count = view.patches.shape[:2]
        scores = torch.arange(count, 0, -1, dtype=view.patches.dtype).repeat(batch, 1)
        if self.gone:
            return Decision(keep_plan(scores, count - HIDDEN), scores)
        weights = (scores > HIDDEN).to(scores.dtype)
        return Decision(replace(keep_plan(scores, count), key_weights=weights, may_hide=True), scores)


class Dropping(Masking):
    gone = True


def run(part: PatchSelector, vit: Any = None) -> VisualTokens:
    return TokenReducingBackbone((vit or tiny_vit()).double(), [part.double()]).eval()(images().double())


@pytest.mark.parametrize("kind", ["ViT", "ViT without class token", "BEiT"])
def test_hidden_patches_count_as_dropped_ones(kind: str) -> None:
    hidden, dropped = (run(part, VIT_LIKES[kind].fresh()) for part in (Masking(blocks=[1]), Dropping(blocks=[1])))
    left = dropped.embeds.shape[1]
    torch.testing.assert_close(hidden.embeds[:, :left], dropped.embeds, atol=1e-4, rtol=1e-4)
    assert hidden.unread is not None and dropped.unread is None
    assert (~hidden.unread[:, :left]).all() and hidden.unread[:, left:].all()
    assert hidden.read_origin is not None and torch.equal(hidden.read_origin, dropped.origin)


@pytest.mark.parametrize(
    "node",
    [
        {"type": "AveragePool", "num_queries": 4},
        {"type": "CAbstractor", "num_queries": 4},
        {"type": "TokenPacker", "num_heads": 4},
        {"type": "QFormer", "num_queries": 4, "num_heads": 4},
        {"type": "PerceiverResampler", "num_queries": 4, "num_heads": 4},
        {"type": "PAD", "num_queries": 4, "num_heads": 4},
    ],
    ids=lambda node: node["type"],
)
def test_decoders_read_no_hidden_patch(node: dict[str, Any]) -> None:
    decoder = REGISTRIES.decoders.build(node, path="model.decoder", embed_dim=tiny.WIDTH, text_dim=tiny.WIDTH)
    decoder = decoder.double().eval()
    hidden, dropped = run(Masking(blocks=[1])), run(Dropping(blocks=[1]))
    torch.testing.assert_close(decoder(hidden).embeds, decoder(dropped).embeds, atol=1e-4, rtol=1e-4)


def test_grounding_sees_no_hidden_patch() -> None:
    head = tiny_model({"grounding": {"type": "GroundingHead"}}).heads["grounding"].double()
    hidden, dropped = run(Masking(blocks=[1])), run(Dropping(blocks=[1]))
    torch.testing.assert_close(head.dense_grid(hidden), head.dense_grid(dropped), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["softmax", "binary"])
def test_boxes_on_hidden_patches_teach_a_prior_nothing(form: str) -> None:
    model = tiny_model({"itm": {"type": "ITMHead"}}, decoder=None, prior={"type": "TextScorePrior"}).double()
    text = model.encoders.encode_text(model.encoders.tokenize(["red"] * tiny.BATCH))
    cover = torch.zeros(tiny.BATCH, 16).double().index_fill(1, torch.tensor([1, 12]), 1.0)  # the second is hidden
    gradients = []
    for part in (Masking(blocks=[1]), Dropping(blocks=[1])):
        scores = model.encoders.prior_scores(run(part), text)
        assert scores is not None
        seen = carry_to_candidates(cover, scores.slots, scores.scores.shape[1])
        boxed = torch.ones(tiny.BATCH, dtype=torch.bool)
        if form == "softmax":
            loss = patch_text_softmax_loss(scores.scores, seen)
        else:  # a mean over all tokens, the hidden ones included
            loss = patch_text_loss(scores.scores, seen > 0, boxed) * scores.scores.shape[1]
        gradients.append(torch.autograd.grad(loss, model.prior.patch_in.weight)[0])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-3)
    assert gradients[1].abs().max() > 1e-3


def test_the_masks_of_dynamic_vit_in_training_and_closed_patches_of_madtp_hide() -> None:
    torch.manual_seed(0)
    backbone = TokenReducingBackbone(tiny_vit(), [DynamicViTSelector(blocks=[1], embed_dim=tiny.WIDTH)])
    visual = backbone.train()(images())
    mask = visual.selections[0].decision.plan.key_weights
    assert mask is not None and visual.unread is not None and 0 < (mask == 0).sum() < mask.numel()
    assert torch.equal(visual.unread[:, visual.num_prefix :], mask == 0)
    assert backbone.eval()(images()).unread is None
    closed = run(MADTPSelector(blocks=[1], embed_dim=tiny.WIDTH, keep_ratio=0.9))
    weights = closed.selections[0].decision.plan.key_weights
    assert weights is not None and closed.unread is not None and (weights == 0).any()
    assert torch.equal(closed.unread[:, closed.num_prefix :], weights == 0)
