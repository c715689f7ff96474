"""What every registered decoder and fusion keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.structures import VisualTokens
from tests.tiny import WIDTH, text_tokens

DECODERS = REGISTRIES.decoders.names()
FUSIONS = REGISTRIES.fusions.names()


def build(registry: PartRegistry, name: str) -> nn.Module:
    torch.manual_seed(0)
    takes = registry.get(name).signature.arguments
    settings = {
        key: value for key, value in {"num_heads": 4, "num_layers": 2, "num_queries": 4}.items() if key in takes
    }
    return registry.build({"type": name, **settings}, path="model", embed_dim=WIDTH, text_dim=WIDTH).eval()


def visual(batch: int = 3) -> VisualTokens:
    embeds = torch.randn(3, 9, WIDTH, generator=torch.Generator().manual_seed(0))[:batch]
    origin = (torch.arange(16) // 2).expand(batch, -1)
    return VisualTokens(embeds.clone().requires_grad_(), 1, (4, 4), origin=origin)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_returns_no_more_tokens_and_keeps_the_global_one_first(name: str) -> None:
    out = build(REGISTRIES.decoders, name)(visual(), text_tokens())
    assert out.embeds.shape[0] == 3
    assert out.embeds.shape[1] <= 9
    assert out.embeds.shape[2] == WIDTH
    assert out.num_prefix >= 1
    assert out.grid == (4, 4)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_treats_each_sample_alone_and_passes_gradient(name: str) -> None:
    decoder, tokens = build(REGISTRIES.decoders, name), visual()
    together = decoder(tokens, text_tokens()).embeds
    torch.testing.assert_close(together[:1], decoder(visual(1), text_tokens(1)).embeds, atol=1e-5, rtol=1e-5)
    together.square().mean().backward()
    assert tokens.embeds.grad is not None
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in decoder.parameters())


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_keeps_the_text_shape_and_treats_each_sample_alone(name: str) -> None:
    fusion = build(REGISTRIES.fusions, name)
    together = fusion(text_tokens(), visual())
    assert together.text.shape == (3, 6, WIDTH)
    alone = fusion(text_tokens(1), visual(1))
    torch.testing.assert_close(together.text[:1], alone.text, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_passes_gradient_to_all_its_parameters(name: str) -> None:
    fusion = build(REGISTRIES.fusions, name)
    out = fusion(text_tokens(), visual())
    (out.text.square().mean() + out.visual.square().mean() + out.cls.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in fusion.parameters())
