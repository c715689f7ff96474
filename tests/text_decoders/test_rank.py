"""Ranking against the probability of every candidate, one at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.rank import rank

PAD, END, START, WORDS, ROWS = 0, 1, 2, 8, 5
TEXTS = [(3,), (4,), (3, 5), (4, 4, 6), (7,), (5, 3), (3, 3, 3)]


class Toy:
    """Next-token logits that depend on the row (known from its states), the place and the last token."""

    def __init__(self) -> None:
        self.logits = 2.0 * torch.randn(ROWS, 6, WORDS, WORDS, generator=torch.Generator().manual_seed(0))
        self.read: list[tuple[int, int]] = []

    def __call__(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        assert memory.shape[0] == memory_mask.shape[0] == tokens.input_ids.shape[0]
        self.read.append(tuple(tokens.input_ids.shape))
        places = torch.arange(tokens.input_ids.shape[1])
        return self.logits[memory[:, 0].long(), places, tokens.input_ids]

    def log_prob(self, row: int, text: tuple[int, ...]) -> float:
        whole = (START, *text, END)
        steps = enumerate(zip(whole[:-1], whole[1:], strict=True))
        return sum(float(self.logits[row, place, a].log_softmax(-1)[b]) for place, (a, b) in steps)


def candidates() -> TokenBatch:
    rows = [(START, *text, END) for text in TEXTS]
    ids = torch.tensor([[*row, *[PAD] * (5 - len(row))] for row in rows])
    return TokenBatch(ids, ids != PAD)


def ranked(toy: Toy, **settings: int) -> tuple[list[int], list[float]]:
    memory = torch.arange(ROWS, dtype=torch.float32).reshape(-1, 1, 1)
    ranking = rank(toy, memory, torch.ones(ROWS, 1, dtype=torch.bool), candidates(), **settings)
    return ranking.best.tolist(), ranking.log_prob.tolist()


@pytest.mark.parametrize("chunk_size", [1, 4, 1000])
def test_the_most_probable_text_wins_with_its_probability(chunk_size: int) -> None:
    toy = Toy()
    index, log_prob = ranked(toy, chunk_size=chunk_size)
    expected = [[toy.log_prob(row, text) for text in TEXTS] for row in range(ROWS)]
    assert index == [max(range(len(TEXTS)), key=of_row.__getitem__) for of_row in expected]
    assert log_prob == pytest.approx([max(of_row) for of_row in expected], abs=1e-5)
    assert len(set(index)) > 1
    assert max(shape[0] for shape in toy.read) <= chunk_size


def test_the_first_token_chooses_what_is_read_in_full() -> None:
    toy, texts = Toy(), [(3,), (4,), (5, 3), (7,)]
    ids = torch.tensor([[START, *text, END, *[PAD] * (2 - len(text))] for text in texts])
    memory = torch.arange(ROWS, dtype=torch.float32).reshape(-1, 1, 1)
    ranking = rank(toy, memory, torch.ones(ROWS, 1, dtype=torch.bool), TokenBatch(ids, ids != PAD), topk=2)
    for row in range(ROWS):
        first = toy.logits[row, 0, START].log_softmax(-1)
        chosen = sorted(range(4), key=lambda place: -float(first[texts[place][0]]))[:2]
        best = max(chosen, key=lambda place: toy.log_prob(row, texts[place]))
        assert ranking.best[row] == best
        assert float(ranking.log_prob[row]) == pytest.approx(toy.log_prob(row, texts[best]), abs=1e-5)
    # One token for every row, then two candidates a row.
    assert toy.read == [(ROWS, 1), (2 * ROWS, 3)]  # the end mark is not read: nothing follows it


def test_reading_all_of_them_needs_no_first_pass() -> None:
    all_of_them, enough = Toy(), Toy()
    assert ranked(all_of_them) == ranked(enough, topk=len(TEXTS))
    assert all_of_them.read == enough.read == [(ROWS * len(TEXTS), 4)]
