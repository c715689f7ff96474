"""The patch abstraction decoder against torch's own layer, and its two readings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bus_toolkit.decoders.pad import PatchAbstractionDecoder
from bus_toolkit.errors import ComponentError
from bus_toolkit.selectors.identity import IdentitySelector
from bus_toolkit.structures import VisualTokens
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone


def visual(seed: int = 0, scores: torch.Tensor | None = None) -> VisualTokens:
    embeds = torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(seed))
    return VisualTokens(embeds, 1, (4, 4), scores=scores)


def test_one_layer_equals_torchs_decoder_layer_on_the_best_tokens() -> None:
    torch.manual_seed(0)
    scores = torch.tensor([[0.0, 5.0, 1.0, 4.0, -1.0, 0.5, 3.0, -2.0], [9.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 7.0]])
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_layers=1, num_queries=3, num_heads=4, norm_first=False).eval()
    peer = nn.TransformerDecoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, activation="gelu", batch_first=True).eval()
    peer.load_state_dict(pad.layers[0].state_dict())
    tokens = visual(scores=scores)
    best = torch.stack([tokens.embeds[0, [0, 2, 4, 7]], tokens.embeds[1, [0, 1, 3, 8]]])
    out = pad(tokens)
    torch.testing.assert_close(out.embeds, peer(best, tokens.embeds))
    # A query keeps the score of the token that it starts from.
    assert out.scores is not None and out.scores.tolist() == [[5.0, 4.0, 3.0], [9.0, 8.0, 7.0]]


@pytest.mark.parametrize(("num_queries", "expected"), [(None, 4), (3, 3), (8, 8)])
def test_queries_from_patches_default_to_half_of_them(num_queries: int | None, expected: int) -> None:
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_queries=num_queries, num_heads=4)
    assert pad(visual()).embeds.shape == (2, 1 + expected, WIDTH)


def test_learned_queries_are_the_same_for_every_image_before_they_read_it() -> None:
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_queries=5, num_heads=4, query_init="learned", num_layers=1)
    assert pad(visual()).embeds.shape == (2, 6, WIDTH)
    assert pad.queries is not None
    pad(visual()).embeds.sum().backward()
    assert pad.queries.grad is not None


def test_text_in_memory_is_read_but_its_padding_is_not() -> None:
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_heads=4, text_in_memory=True).eval()
    text = text_tokens(2)
    text.attention_mask[:, 4:] = False
    changed = type(text)(text.embeds.clone(), text.pooled, text.attention_mask)
    changed.embeds[:, 4:] = 99.0
    torch.testing.assert_close(pad(visual(), text).embeds, pad(visual(), changed).embeds)
    changed.embeds[:, 2] = 99.0
    assert not torch.allclose(pad(visual(), text).embeds, pad(visual(), changed).embeds)


def test_too_many_queries_are_refused_with_the_number_that_fits() -> None:
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_queries=9, num_heads=4)
    with pytest.raises(ComponentError, match="must be between 1 and 8 .* got 9"):
        pad(visual())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"query_init": "random"}, "query_init: must be topk or learned"),
        ({"query_init": "learned"}, "learned queries need a number"),
        ({"num_queries": 0}, "must be 1 or more"),
        ({"num_layers": 0}, "num_layers: must be 1 or more, got 0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio: times the width 32 must be 1 or more, and finite, got 0.0"),
    ],
)
def test_bad_arguments_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatchAbstractionDecoder(embed_dim=WIDTH, num_heads=4, **kwargs)  # type: ignore[arg-type]


def test_a_selector_that_ranks_nothing_leaves_the_choice_of_queries_to_the_global_token() -> None:
    backbone = tiny_backbone(IdentitySelector(blocks=[2]))
    tokens = backbone(images())
    assert tokens.scores is None
    pad = PatchAbstractionDecoder(embed_dim=WIDTH, num_queries=4, num_heads=4)
    likeness = torch.bmm(tokens.embeds[:, 1:], tokens.embeds[:, 0].unsqueeze(-1)).squeeze(-1)
    best = likeness.topk(4, dim=1).indices.sort(dim=1).values
    expected = tokens.embeds[:, 1:].gather(1, best.unsqueeze(-1).expand(-1, -1, WIDTH))
    queries, scores = pad._queries(tokens)
    assert torch.equal(queries, expected) and scores is None
