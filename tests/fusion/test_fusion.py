"""All fusions: padding is never read, visual tokens are, widths meet."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.fusion.co_attention import CoAttentionFusion
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.fusion.skip_connected import SkipConnectedFusion
from bus_toolkit.structures import TextTokens, VisualTokens
from tests.tiny import WIDTH, text_tokens


def fusions() -> list[nn.Module]:
    torch.manual_seed(0)
    sizes = {"text_dim": WIDTH, "embed_dim": 24, "num_heads": 4}
    return [
        CrossAttentionFusion(num_layers=2, **sizes).eval(),
        SkipConnectedFusion(num_layers=4, stride=2, norm_first=True, **sizes).eval(),
        CoAttentionFusion(num_layers=2, **sizes).eval(),
    ]


def visual(seed: int = 0) -> VisualTokens:
    return VisualTokens(torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(seed)), 1, (4, 4))


@pytest.mark.parametrize("fusion", fusions(), ids=lambda f: type(f).__name__)
def test_padded_text_never_changes_the_rest(fusion: nn.Module) -> None:
    text = text_tokens()
    text.attention_mask[:, 4:] = False
    noisy = TextTokens(text.embeds.clone(), text.pooled, text.attention_mask)
    noisy.embeds[:, 4:] += 50.0
    torch.testing.assert_close(fusion(text, visual()).text[:, :4], fusion(noisy, visual()).text[:, :4])


@pytest.mark.parametrize("fusion", fusions(), ids=lambda f: type(f).__name__)
def test_every_visual_token_is_read(fusion: nn.Module) -> None:
    tokens = visual()
    tokens.embeds.requires_grad_()
    fusion(text_tokens(), tokens).cls.square().sum().backward()
    assert tokens.embeds.grad is not None
    assert (tokens.embeds.grad.abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("fusion", fusions(), ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_prior_is_added_to_the_logits_of_every_head_and_query(fusion: nn.Module, hidden: bool) -> None:
    """Keys repeated r times have log r more weight: the prior of whole numbers, by hand."""
    unread = torch.tensor([[False, False, False, hidden, False]]).expand(3, -1)
    tokens, repeats = replace(visual(), unread=unread), torch.tensor([1, 3, 1, 2, 1])
    got = fusion(text_tokens(), tokens, torch.log(repeats).expand(3, -1))
    twice = replace(
        tokens, embeds=tokens.embeds.repeat_interleave(repeats, 1), unread=unread.repeat_interleave(repeats, 1)
    )
    if isinstance(fusion, CrossAttentionFusion):  # elsewhere repeated tokens read, or are read, as such too
        torch.testing.assert_close(got.text, fusion(text_tokens(), twice).text)
    with warnings.catch_warnings():  # none about masks of different kinds
        warnings.simplefilter("error")
        prior = torch.zeros(3, 5, requires_grad=True)
        plain = fusion(text_tokens(), tokens, prior)
    torch.testing.assert_close(plain.text, fusion(text_tokens(), tokens).text)
    assert not torch.allclose(got.text, plain.text)
    plain.text.square().sum().backward()
    assert prior.grad is not None and torch.isfinite(prior.grad).all()
    assert (prior.grad[:, 3] == 0).all() == hidden


def test_the_streams_read_each_other_as_they_were_before_the_layer() -> None:
    """One layer: each stream is torch's decoder layer on the other's input; the image reads no padded text."""
    fusion = CoAttentionFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=1, num_heads=4).eval()
    text, tokens = text_tokens(), VisualTokens(torch.randn(3, 5, WIDTH), 1, (4, 4))
    text.attention_mask[:, 4:] = False
    fused = fusion(text, tokens)
    torch.testing.assert_close(fused.visual, fusion.image_layers[0](tokens.embeds, text.embeds[:, :4]))
    expected = fusion.text_layers[0](text.embeds[:, :4], tokens.embeds)
    torch.testing.assert_close(fused.text[:, :4], expected)
    both = torch.cat([fused.text[:, 0], fused.visual[:, 0]], dim=1)
    torch.testing.assert_close(fused.cls, torch.tanh(fusion.pool(both)))


def test_a_co_attention_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="num_layers: must be 1 or more, got 0"):
        CoAttentionFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=0)


def test_connected_layers_follow_the_stride() -> None:
    fusion = SkipConnectedFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=6, stride=3, num_heads=4)
    assert fusion.connected == [False, False, False, True, False, False]
    none = SkipConnectedFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=6, stride=6, num_heads=4)
    assert not any(none.connected)


def test_without_connected_layers_the_image_passes_through_unchanged() -> None:
    fusion = SkipConnectedFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=2, stride=2, num_heads=4)
    tokens = VisualTokens(torch.randn(3, 5, WIDTH), 1, (4, 4))
    assert torch.equal(fusion(text_tokens(), tokens).visual, tokens.embeds)


def test_a_stride_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="stride: must be 1 or more, got 0"):
        SkipConnectedFusion(text_dim=WIDTH, embed_dim=WIDTH, stride=0)


@pytest.mark.parametrize("fusion", fusions(), ids=lambda f: type(f).__name__)
@pytest.mark.parametrize(("hidden", "with_prior"), [(False, False), (True, False), (True, True)])
def test_texts_of_one_image_read_it_as_if_it_were_repeated(fusion: nn.Module, hidden: bool, with_prior: bool) -> None:
    fusion, text, images = fusion.double(), text_tokens(6), torch.randn(2, 5, 24).double()
    text = replace(text, embeds=text.embeds.double())
    text.attention_mask[1, 3:] = False
    unread = torch.zeros(2, 5, dtype=torch.bool)
    unread[1, 3] = hidden
    prior = torch.randn(6, 5).double() if with_prior else None
    gradients, outputs = [], []
    for is_shared in (True, False):
        tokens = images.clone().requires_grad_()
        shown = VisualTokens(tokens, 1, (4, 4), unread=unread if hidden else None).repeat_each(3)
        fused = fusion(text, shown if is_shared else replace(shown, unrepeated=None), prior)
        memory, mask = fused.memory()
        (memory.masked_fill(~mask.unsqueeze(-1), 0.0).square().sum() + fused.cls.sum()).backward()
        outputs.append(memory)
        gradients.append(tokens.grad)
    torch.testing.assert_close(*outputs, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-10)


def test_keys_and_values_of_an_image_are_projected_once_for_its_texts() -> None:
    texts, patches, layers = 3, 5, 2
    fusion, text, shown = fusions()[0], text_tokens(2 * texts), VisualTokens(torch.randn(2, patches, 24), 1, (4, 4))
    counts = []
    for tokens in (shown.repeat_each(texts), replace(shown.repeat_each(texts), unrepeated=None)):
        counts.append(count_macs(partial(fusion, text, tokens)))
    saved_rows = 2 * texts - 2
    assert counts[1] - counts[0] == saved_rows * patches * (24 * WIDTH + layers * 2 * WIDTH**2)
