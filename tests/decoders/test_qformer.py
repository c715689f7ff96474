"""The querying transformer against torch's own layers, with and without text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bus_toolkit.decoders.qformer import QFormer
from bus_toolkit.structures import TextTokens
from tests.decoders.tokens import check_promises, grid_tokens
from tests.tiny import WIDTH, text_tokens


def qformer(**settings: Any) -> QFormer:
    torch.manual_seed(0)
    decoder = QFormer(embed_dim=WIDTH, num_heads=4, **{"num_queries": 3, "num_layers": 3, **settings}).eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.2)
    return decoder


def torchs_layer(layer: nn.Module, norm_first: bool, text: bool = False) -> nn.Module:
    """Return torch's encoder or decoder layer with the weights of ``layer``, those of its text part on request."""
    reads_image = layer.cross_attention is not None and not text
    kind = nn.TransformerDecoderLayer if reads_image else nn.TransformerEncoderLayer
    peer = kind(WIDTH, 4, 4 * WIDTH, 0.0, activation="gelu", batch_first=True, norm_first=norm_first).eval()
    mlp, last_norm = (layer.text_mlp, layer.text_norm) if text else (layer.query_mlp, layer.query_norm)
    pairs = [(peer.self_attn, layer.self_attention), (peer.norm1, layer.self_norm)]
    pairs += [(peer.linear1, mlp[0]), (peer.linear2, mlp[2])]
    if reads_image:
        pairs += [(peer.multihead_attn, layer.cross_attention), (peer.norm2, layer.cross_norm)]
        pairs += [(peer.norm3, last_norm)]
    else:
        pairs += [(peer.norm2, last_norm)]
    for target, source in pairs:
        target.load_state_dict(source.state_dict())
    return peer


@pytest.mark.parametrize("norm_first", [True, False])
def test_without_text_it_equals_torchs_layers(norm_first: bool) -> None:
    decoder, visual = qformer(norm_first=norm_first), grid_tokens()
    states = torch.cat([visual.embeds[:, :1], decoder.queries.expand(2, -1, -1)], dim=1)
    for index, layer in enumerate(decoder.layers):
        peer = torchs_layer(layer, norm_first)
        states = peer(states, visual.embeds) if index % 2 == 0 else peer(states)
    torch.testing.assert_close(decoder(visual).embeds, decoder.norm(states))


@pytest.mark.parametrize("norm_first", [True, False])
def test_text_shares_the_self_attention_and_nothing_else(norm_first: bool) -> None:
    # Layers that read no image treat each kind of token as torch's encoder layer does, each with its own weights.
    decoder = qformer(norm_first=norm_first, with_text=True, num_layers=4, cross_every=4)
    visual, text = grid_tokens(), text_tokens(2)
    image_reader, *others = decoder.layers
    words = torchs_layer(image_reader, norm_first, text=True)
    queries = torch.cat([visual.embeds[:, :1], decoder.queries.expand(2, -1, -1)], dim=1)
    states = torch.cat([queries, text.embeds], dim=1)
    text_states = words(states)[:, 4:]
    queries, _ = image_reader(queries, text.embeds, visual.embeds, None)
    for layer in others[:-1]:
        states = torch.cat([queries, text_states], dim=1)
        queries = torchs_layer(layer, norm_first)(states)[:, :4]
        text_states = torchs_layer(layer, norm_first, text=True)(states)[:, 4:]
    states = torch.cat([queries, text_states], dim=1)
    queries = torchs_layer(others[-1], norm_first)(states)[:, :4]
    torch.testing.assert_close(decoder(visual, text).embeds, decoder.norm(queries))


@pytest.mark.parametrize(("cross_every", "expected"), [(1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3]), (9, [0])])
def test_the_image_is_read_in_the_first_of_every_few_layers(cross_every: int, expected: list[int]) -> None:
    layers = qformer(num_layers=4, cross_every=cross_every).layers
    assert [index for index, layer in enumerate(layers) if layer.cross_attention is not None] == expected


def test_text_is_read_with_the_option_only_and_its_padding_never() -> None:
    text = text_tokens(2)
    text.attention_mask[:, 4:] = False
    padded = TextTokens(text.embeds.clone(), text.pooled, text.attention_mask)
    padded.embeds[:, 4:] = 99.0
    changed = TextTokens(text.embeds.clone(), text.pooled, text.attention_mask)
    changed.embeds[:, 2] = 99.0
    visual, reading, blind = grid_tokens(), qformer(with_text=True), qformer()
    assert (reading.reads_text, blind.reads_text) == (True, False)
    torch.testing.assert_close(reading(visual, text).embeds, reading(visual, padded).embeds)
    assert not torch.allclose(reading(visual, text).embeds, reading(visual, changed).embeds)
    assert torch.equal(blind(visual, text).embeds, blind(visual, changed).embeds)


def test_texts_of_padding_alone_equal_no_text() -> None:
    decoder, text = qformer(with_text=True), text_tokens(2)
    text.attention_mask[:] = False
    torch.testing.assert_close(decoder(grid_tokens(), text).embeds, decoder(grid_tokens()).embeds)


@pytest.mark.parametrize("settings", [{}, {"norm_first": False}, {"with_text": True}, {"num_layers": 1}])
def test_it_keeps_its_promises(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    decoder = QFormer(embed_dim=WIDTH, num_heads=4, num_queries=1, **settings)
    check_promises(decoder, grid_tokens(dropped=[[1, 2], [3, 4]], num_prefix=2), 1)


@pytest.mark.parametrize("name", ["num_layers", "num_queries", "cross_every"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be 1 or more, got 0"):
        qformer(**{name: 0})
    with pytest.raises(ValueError, match="mlp_ratio: times the width .* must be 1 or more, and finite, got -1"):
        qformer(mlp_ratio=-1.0)
