"""The global token alone, from fusions that then leave out the other tokens of their last layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.fusion import CoAttentionFusion, CrossAttentionFusion, LayeredFusion, SkipConnectedFusion
from bus_toolkit.step.parts import fuse_by
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens
from tests.tiny import WIDTH, text_tokens

KINDS = [
    (CrossAttentionFusion, {"num_layers": 2}),
    (SkipConnectedFusion, {"num_layers": 4, "stride": 2}),  # layers 0, 1 and 3 read, 2 is connected
    (SkipConnectedFusion, {"num_layers": 3, "stride": 2}),  # the last one is connected
    (CoAttentionFusion, {"num_layers": 2}),
]


def fusion(kind: type[LayeredFusion], settings: dict[str, int], *, norm_first: bool) -> LayeredFusion:
    torch.manual_seed(0)
    built = kind(text_dim=WIDTH, embed_dim=24, num_heads=4, norm_first=norm_first, **settings)  # type: ignore[arg-type]
    return built.double().eval()


def inputs() -> tuple[TextTokens, VisualTokens, Tensor]:
    text = text_tokens()
    text.attention_mask[1, 4:] = False
    text = replace(text, embeds=text.embeds.double(), pooled=text.pooled.double())
    noise = torch.Generator().manual_seed(1)
    unread = torch.tensor([[False, False, False, True, False]]).expand(3, -1)
    embeds = torch.randn(3, 5, 24, generator=noise, dtype=torch.float64)
    prior = torch.randn(3, 5, generator=noise, dtype=torch.float64)
    return text, VisualTokens(embeds, 1, (4, 4), unread=unread), prior


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_it_is_that_of_the_whole_text(
    kind: type[LayeredFusion], settings: dict[str, int], norm_first: bool, with_prior: bool
) -> None:
    part = fusion(kind, settings, norm_first=norm_first)
    text, visual, prior = inputs()
    gradients = []
    for first_only in (False, True):
        text.embeds.requires_grad_().grad = None
        visual.embeds.requires_grad_().grad = None
        fused = part(text, visual, prior if with_prior else None, first_only=first_only)
        assert fused.text.shape[:2] == fused.attention_mask.shape
        fused.cls.square().sum().backward()
        gradients.append((fused.cls.detach(), text.embeds.grad, visual.embeds.grad))
    for whole, alone in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, alone, rtol=1e-12, atol=1e-12)


def test_several_texts_of_an_image_may_share_it() -> None:
    part = fusion(CrossAttentionFusion, {"num_layers": 2}, norm_first=False)
    text, visual, _ = inputs()
    tokens, texts = visual.repeat_each(2), text.repeat_each(2)
    torch.testing.assert_close(part(texts, tokens, first_only=True).cls, part(texts, tokens).cls)


def test_it_costs_less() -> None:
    part = fusion(CrossAttentionFusion, {"num_layers": 1}, norm_first=False).float()
    text, visual, _ = inputs()
    text = replace(text, embeds=text.embeds.float(), pooled=text.pooled.float())
    visual = replace(visual, embeds=visual.embeds.float())
    whole, alone = (count_macs(lambda wanted=wanted: part(text, visual, first_only=wanted)) for wanted in (False, True))
    count, length, patches, width = 3, text.embeds.shape[1], 5, WIDTH
    # Of L - 1 tokens: queries and outputs of both attentions, the feed-forward part, and what they attend to.
    spared = (length - 1) * (4 * width**2 + 8 * width**2 + 2 * (length + patches) * width)
    assert whole - alone == count * spared


class WithoutTheArgument(nn.Module):
    """A fusion of a plugin that knows nothing of it."""

    def forward(self, text: TextTokens, visual: VisualTokens, prior: Tensor | None = None) -> FusedTokens:
        return FusedTokens(text.embeds, visual.embeds, text.attention_mask)


def test_a_fusion_that_does_not_know_it_gives_the_whole_text() -> None:
    text, visual, _ = inputs()
    assert fuse_by(WithoutTheArgument(), None, text, visual, first_only=True).text.shape == text.embeds.shape
