"""Images that are in several pairs: keys and values once an image, and the same outputs and gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.fusion import CoAttentionFusion, CrossAttentionFusion, LayeredFusion, SkipConnectedFusion
from bus_toolkit.structures import TextTokens, VisualTokens
from tests.tiny import WIDTH, text_tokens

ROWS = torch.tensor([1, 0, 1])  # image 2 is in no pair
KINDS: list[tuple[type[LayeredFusion], dict[str, int]]] = [
    (CrossAttentionFusion, {"num_layers": 2}),
    (SkipConnectedFusion, {"num_layers": 4, "stride": 2}),
    (SkipConnectedFusion, {"num_layers": 2, "stride": 2}),  # no connected layer
    (CoAttentionFusion, {"num_layers": 2}),
]


def fusion(kind: type[LayeredFusion], *, norm_first: bool, **settings: Any) -> LayeredFusion:
    torch.manual_seed(0)
    return kind(text_dim=WIDTH, embed_dim=24, num_heads=4, norm_first=norm_first, **settings).double().eval()


def inputs(hidden: bool) -> tuple[TextTokens, VisualTokens, Tensor]:
    text = text_tokens()
    text.attention_mask[1, 4:] = False
    text = replace(text, embeds=text.embeds.double(), pooled=text.pooled.double())
    noise = torch.Generator().manual_seed(1)
    unread = torch.zeros(3, 5, dtype=torch.bool)
    unread[0, 2], unread[1, 3:] = True, True
    embeds = torch.randn(3, 5, 24, generator=noise, dtype=torch.float64)
    prior = torch.randn(3, 5, generator=noise, dtype=torch.float64)
    return text, VisualTokens(embeds, 1, (4, 4), unread=unread if hidden else None), prior


@pytest.mark.parametrize(
    ("norm_first", "hidden", "with_prior"), [(False, True, False), (True, False, True), (False, True, True)]
)
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_outputs_and_gradients_are_those_of_a_row_each(
    kind: type[LayeredFusion], settings: dict[str, int], norm_first: bool, hidden: bool, with_prior: bool
) -> None:
    part = fusion(kind, norm_first=norm_first, **settings)
    text, visual, prior = inputs(hidden)
    visual.embeds.requires_grad_()
    results = []
    for tokens in (visual.index(ROWS), visual.paired(ROWS)):
        visual.embeds.grad = None
        part.zero_grad()
        fused = part(text, tokens, prior if with_prior else None)
        (fused.text * text.attention_mask.unsqueeze(-1)).square().sum().backward()
        gradients = [parameter.grad for parameter in part.parameters() if parameter.grad is not None]
        results.append([fused.text, fused.visual, fused.cls, visual.embeds.grad, *gradients])
    assert len(results[0]) == len(results[1])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_an_image_is_projected_once() -> None:
    part = fusion(CrossAttentionFusion, norm_first=False, num_layers=2).float()
    text, visual, _ = inputs(hidden=False)
    text = replace(text, embeds=text.embeds.float(), pooled=text.pooled.float())
    one = replace(visual, embeds=visual.embeds[:1].float())
    rows = torch.zeros(3, dtype=torch.int64)
    apart, together = (count_macs(lambda pair=pair: part(text, pair)) for pair in (one.index(rows), one.paired(rows)))
    # Two of three times: the map to the width of the text, and in each layer keys and values.
    assert apart - together == 2 * 5 * (24 * WIDTH + 2 * 2 * WIDTH**2)


def test_what_is_chosen_of_pairs_is_on_its_own() -> None:
    _, visual, _ = inputs(hidden=True)
    paired = visual.paired(ROWS)
    assert paired.of_images is visual and torch.equal(paired.embeds, visual.embeds[ROWS])
    for other in (paired.index(torch.tensor([2, 0])), paired.repeat_each(2)):
        assert other.rows is None
    assert torch.equal(paired.repeat_each(2).embeds, visual.embeds[ROWS.repeat_interleave(2)])
