"""The Perceiver resampler against its formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.decoders.resampler import PerceiverResampler
from bus_toolkit.structures import VisualTokens
from tests.decoders.tokens import check_promises, grid_tokens
from tests.tiny import WIDTH, text_tokens


def resampler(**settings: int) -> PerceiverResampler:
    torch.manual_seed(0)
    return PerceiverResampler(embed_dim=WIDTH, num_heads=4, **{"num_queries": 3, **settings}).eval()


def attention_by_hand(attention: nn.MultiheadAttention, asking: Tensor, memory: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(d)) v head by head, for one sample."""
    query, key, value = (
        F.linear(x, w, b)
        for x, w, b in zip(
            (asking, memory, memory), attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
        )
    )
    width = WIDTH // 4
    heads = [slice(width * head, width * (head + 1)) for head in range(4)]
    read = [torch.softmax(query[:, h] @ key[:, h].T / width**0.5, dim=-1) @ value[:, h] for h in heads]
    return attention.out_proj(torch.cat(read, dim=-1))


def test_each_layer_reads_image_and_latents_in_one_attention() -> None:
    decoder, visual = resampler(num_layers=2), grid_tokens()
    for sample, out in zip(visual.embeds, decoder(visual).embeds, strict=True):
        latents = torch.cat([sample[:1], decoder.latents[0]])
        for layer in decoder.layers:
            asking = layer.norm_latents(latents)
            memory = torch.cat([layer.norm_image(sample), asking])
            latents = latents + attention_by_hand(layer.attention, asking, memory)
            latents = latents + layer.feed_forward(latents)
        torch.testing.assert_close(out, decoder.norm(latents))


def test_the_global_token_is_read_and_updated() -> None:
    decoder, visual = resampler(num_queries=1), grid_tokens()
    other = VisualTokens(visual.embeds.clone(), 1, (4, 4))
    other.embeds[:, 5] = 3.0
    before, after = decoder(visual).embeds, decoder(other).embeds
    assert before.shape == (2, 2, WIDTH)
    assert not torch.allclose(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_the_order_of_the_patches_and_the_text_do_not_matter() -> None:
    decoder, visual = resampler(), grid_tokens()
    turned = VisualTokens(torch.cat([visual.embeds[:, :1], visual.embeds[:, 1:].flip(1)], dim=1), 1, (4, 4))
    torch.testing.assert_close(decoder(visual).embeds, decoder(turned).embeds)
    assert torch.equal(decoder(visual).embeds, decoder(visual, text_tokens(2)).embeds)


def test_it_keeps_its_promises() -> None:
    check_promises(resampler(), grid_tokens(dropped=[[1, 2], [3, 4]], num_prefix=2), 3)


@pytest.mark.parametrize("name", ["num_layers", "num_queries"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be 1 or more, got 0"):
        resampler(**{name: 0})
    with pytest.raises(ValueError, match="mlp_ratio: times the width .* must be 1 or more, and finite, got inf"):
        resampler(mlp_ratio=float("inf"))
