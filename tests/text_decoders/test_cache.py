"""A cache changes how long it takes to write a text, and not the text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_decoders.generate import Generated, Rereading, SearchRules, generate
from bus_toolkit.text_decoders.sample import sample
from tests.tiny import VOCABULARY, WIDTH

ROWS, STATES, LENGTH = 3, 4, 9
IDS: dict[str, Any] = {"end_id": 3, "pad_id": 0}


class Counted:
    """A decoder that notes how many tokens each of its passes reads."""

    def __init__(self, cross_attention: bool = True) -> None:
        torch.manual_seed(0)
        sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "text_dim": WIDTH, "num_heads": 4}
        self.decoder = BertTextDecoder(
            **sizes, num_layers=2, max_text_length=LENGTH, initializer_range=0.5, cross_attention=cross_attention
        )
        self.decoder.double().eval()
        self.decoder.bert.cls.predictions.bias.data[3] = 8.0  # some texts end before others
        self.read: list[tuple[int, int]] = []

    def __call__(self, tokens: TokenBatch, memory: Tensor, mask: Tensor, **cache: Any) -> Tensor:
        given = (memory, mask) if self.decoder.reads_memory else ()
        logits = self.decoder(tokens, *given, **cache)
        self.read.append((logits.shape[0], logits.shape[1]))
        return logits


def states() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(ROWS, STATES, dtype=torch.bool)
    mask[0, 2:] = False
    return torch.randn(ROWS, STATES, WIDTH, generator=generator, dtype=torch.float64), mask


def begun() -> Tensor:
    return torch.full((ROWS, 1), 2)


def written(beams: int, *, cached: bool, every: int = 0, cross_attention: bool = True) -> tuple[Generated, Counted]:
    decode = Counted(cross_attention)
    rereading = Rereading(every, reread) if every else None
    new_cache = decode.decoder.new_cache if cached else None
    rules = SearchRules(beam_size=beams, max_length=LENGTH, min_length=4, early_exit=False)
    memory, mask = states()
    found = generate(
        decode, memory, mask, begun(), rules=rules, rereading=rereading, new_cache=new_cache, banned_ids=[1, 2], **IDS
    )
    return found, decode


def reread(texts: TokenBatch) -> tuple[Tensor, Tensor]:
    """Return states that depend on the whole text."""
    memory, mask = states()
    count = texts.input_ids.shape[0] // ROWS
    sums = texts.input_ids.sum(dim=1).double() / 50
    return memory.repeat_interleave(count, dim=0) + sums[:, None, None], mask.repeat_interleave(count, dim=0)


@pytest.mark.parametrize("every", [0, 2, 3])
@pytest.mark.parametrize("beams", [1, 5])
def test_a_search_finds_the_same_texts(beams: int, every: int) -> None:
    (with_cache, _), (without, _) = (written(beams, cached=cached, every=every) for cached in (True, False))
    assert torch.equal(with_cache.ids, without.ids) and torch.equal(with_cache.attention_mask, without.attention_mask)
    torch.testing.assert_close(with_cache.scores, without.scores)
    # The texts differ, so that beams have changed places, and some have ended before others.
    assert len(with_cache.ids.flatten(0, 1).unique(dim=0)) >= ROWS
    assert beams == 1 or not with_cache.attention_mask.all()


def test_without_states_it_writes_the_same_texts_too() -> None:
    (with_cache, _), (without, _) = (written(3, cached=cached, cross_attention=False) for cached in (True, False))
    assert torch.equal(with_cache.ids, without.ids)


def test_each_token_is_read_once_and_the_beginning_once_a_row() -> None:
    _, decode = written(5, cached=True)
    assert decode.read == [(ROWS, 1)] + [(ROWS * 5, 1)] * (LENGTH - 2)
    _, decode = written(5, cached=False)
    assert decode.read == [(ROWS * 5, length) for length in range(1, LENGTH)]


def test_new_states_are_read_with_the_whole_text() -> None:
    _, decode = written(2, cached=True, every=3)
    assert [length for _, length in decode.read] == [1, 1, 1, 4, 1, 1, 7, 1]


def test_the_same_texts_are_drawn() -> None:
    decode = Counted()
    memory, mask = states()
    noise = torch.rand(ROWS, 4, LENGTH - 1, generator=torch.Generator().manual_seed(2))
    drawn = [
        sample(decode, memory, mask, begun(), noise, new_cache=new_cache, **IDS)
        for new_cache in (None, decode.decoder.new_cache)
    ]
    assert torch.equal(*(texts.input_ids for texts in drawn))
    assert torch.equal(*(texts.attention_mask for texts in drawn))
    assert not drawn[0].attention_mask.all()
