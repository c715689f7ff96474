"""Texts are drawn with the probability that the decoder gives them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.sample import sample
from tests.deterministic import RefusesAsAGpu

PAD, END, START, WORDS, LONGEST = 0, 1, 2, 5, 3
LOGITS = 2.0 * torch.randn(2, 4, WORDS, WORDS, generator=torch.Generator().manual_seed(0))


def toy(tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
    """Return logits that depend on the row, the place and the last token."""
    places = torch.arange(tokens.input_ids.shape[1])
    return LOGITS[memory[:, 0].long(), places, tokens.input_ids]


def drawn(noise: Tensor) -> TokenBatch:
    memory, mask = torch.tensor([0.0, 1.0]).reshape(2, 1, 1), torch.ones(2, 1, dtype=torch.bool)
    return sample(toy, memory, mask, torch.full((2, 1), START), noise, end_id=END, pad_id=PAD)


def test_each_text_comes_as_often_as_it_is_probable() -> None:
    count = 20_000
    texts = drawn(torch.rand(2, count, LONGEST, generator=torch.Generator().manual_seed(1)))
    for row, words in itertools.product(range(2), itertools.product(range(WORDS), repeat=2)):
        first, second = words
        probable = LOGITS[row, 0, START].softmax(0)[first]
        if first != END:
            probable = probable * LOGITS[row, 1, first].softmax(0)[second]
        elif second != PAD:
            continue  # nothing but padding follows the end
        seen = (texts.input_ids[row, :, 1:3] == torch.tensor(words)).all(dim=1).float().mean()
        assert float(seen) == pytest.approx(float(probable), abs=0.012)


def test_what_follows_the_end_is_padding_that_does_not_count() -> None:
    texts = drawn(torch.rand(2, 50, LONGEST, generator=torch.Generator().manual_seed(2)))
    assert texts.input_ids.shape == (2, 50, 1 + LONGEST)
    after_end = (texts.input_ids[..., :-1] == END).int().cumsum(-1) > 0
    assert after_end.any() and (texts.input_ids[..., 1:][after_end] == PAD).all()
    assert torch.equal(texts.attention_mask[..., 1:], ~after_end)


def test_equal_numbers_draw_equal_texts_and_the_largest_one_is_taken() -> None:
    noise = torch.full((2, 2, LONGEST), torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item())
    texts = drawn(noise)
    assert torch.equal(texts.input_ids[:, 0], texts.input_ids[:, 1])
    assert texts.input_ids.max() < WORDS


def test_a_gpu_draws_where_it_must_be_deterministic() -> None:
    noise = torch.rand(2, 5, LONGEST, generator=torch.Generator().manual_seed(3))
    with RefusesAsAGpu():
        texts = drawn(noise)
    assert torch.equal(texts.input_ids, drawn(noise).input_ids)


def test_a_word_without_probability_is_never_drawn() -> None:
    def sure(tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        logits = torch.full((*tokens.input_ids.shape, WORDS), -torch.inf)
        logits[..., 3] = 0.0
        return logits

    ends = torch.tensor([0.0, 0.5, torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()])
    memory, mask = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    prefix = torch.full((1, 1), START)
    texts = sample(sure, memory, mask, prefix, ends.reshape(1, 1, LONGEST), end_id=END, pad_id=PAD)
    assert texts.input_ids[0, 0, 1:].tolist() == [3, 3, 3]
