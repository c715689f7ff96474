"""Beam search against all texts there are."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_decoders.generate import Generated, LengthMeasure, Rereading, SearchRules, generate, repeats
from tests.tiny import VOCABULARY, WIDTH

PAD, END, START, WORDS = 0, 1, 2, 6
ROWS, LENGTH = 4, 5
EVERY_TEXT = SearchRules(beam_size=400, max_length=LENGTH)


class Toy:
    """Next-token logits that depend on the row (known from its states), the place and the last token; counts calls."""

    def __init__(self, spread: float = 1.5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.logits = spread * torch.randn(ROWS, 40, WORDS, WORDS, generator=generator)
        self.calls = 0

    def __call__(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        self.calls += 1
        assert memory_mask.all() and memory.shape[0] == tokens.input_ids.shape[0]
        rows, places = memory[:, 0].long(), torch.arange(tokens.input_ids.shape[1])
        return self.logits[rows, places, tokens.input_ids]


def search(
    toy: Toy,
    rules: SearchRules,
    rows: list[int] | None = None,
    prefix: Tensor | None = None,
    rereading: Rereading | None = None,
) -> Generated:
    rows = list(range(ROWS)) if rows is None else rows
    memory = torch.tensor(rows, dtype=torch.float32).reshape(-1, 1, 1)
    start = torch.full((len(rows), 1), START) if prefix is None else prefix
    mask = torch.ones(len(rows), 1, dtype=torch.bool)
    ids: dict[str, Any] = {"end_id": END, "pad_id": PAD, "banned_ids": [START]}
    return generate(toy, memory, mask, start, rules=rules, rereading=rereading, **ids)


def every_text(toy: Toy, row: int, rules: SearchRules, every: int = LENGTH) -> dict[tuple[int, ...], float]:
    """Return the score of each text, with other states every so many tokens: those that end, and those that are cut."""

    def state(text: tuple[int, ...], written: int) -> int:
        known = written // every * every
        return sum(text[: 1 + known]) % ROWS if known else row

    outcome: dict[tuple[int, ...], float] = {}
    for written in range(1, rules.max_length):
        for words in itertools.product(range(3, WORDS), repeat=written - 1):
            for last in range(WORDS):
                cut = last >= 3 and written + 1 == rules.max_length
                if cut or (last == END and written + 1 >= rules.min_length):
                    text = (START, *words, last)
                    steps = zip(text[:-1], text[1:], range(written), strict=True)
                    total = sum(float(toy.logits[state(text, k), k, a].log_softmax(-1)[b]) for a, b, k in steps)
                    length = written if rules.length_measure == "written" else (5 + written) / 6
                    outcome[text] = total / length**rules.length_penalty
    return outcome


def text_of(outcome: Generated, row: int, beam: int = 0) -> tuple[int, ...]:
    return tuple(outcome.ids[row, beam][outcome.attention_mask[row, beam]].tolist())


@pytest.mark.parametrize(
    ("length_penalty", "measure"),
    [(0.0, "written"), (1.0, "written"), (2.0, "written"), (-1.0, "written"), (0.6, "wu")],
)
@pytest.mark.parametrize("min_length", [0, 4])
def test_wide_beams_find_every_text_in_the_right_order(
    length_penalty: float, measure: LengthMeasure, min_length: int
) -> None:
    rules = dataclasses.replace(
        EVERY_TEXT, length_penalty=length_penalty, length_measure=measure, min_length=min_length
    )
    toy = Toy()
    outcome = search(toy, rules)
    for row in range(ROWS):
        wanted = every_text(toy, row, rules)
        scores = {text_of(outcome, row, beam): float(outcome.scores[row, beam]) for beam in range(len(wanted))}
        assert scores == pytest.approx(wanted, abs=1e-5)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        assert (outcome.scores[row, len(wanted) :] == -torch.inf).all()


def state_of(tokens: TokenBatch) -> tuple[Tensor, Tensor]:
    """Return a state that depends on all tokens so far."""
    state = (tokens.input_ids * tokens.attention_mask).sum(dim=1) % ROWS
    return state.reshape(-1, 1, 1).float(), torch.ones(len(state), 1, dtype=torch.bool)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_each_beam_reads_the_states_that_its_own_beginning_got(every: int) -> None:
    toy = Toy()
    outcome = search(toy, EVERY_TEXT, rereading=Rereading(every, state_of))
    for row in range(ROWS):
        wanted = every_text(toy, row, EVERY_TEXT, every)
        scores = {text_of(outcome, row, beam): float(outcome.scores[row, beam]) for beam in range(len(wanted))}
        assert scores == pytest.approx(wanted, abs=1e-5)


def test_one_beam_is_greedy_search() -> None:
    toy = Toy()
    outcome = search(toy, SearchRules(beam_size=1, max_length=8))
    for row in range(ROWS):
        text = [START]
        while len(text) < 8 and text[-1] != END:
            logits = toy.logits[row, len(text) - 1, text[-1]].clone()
            logits[[PAD, START]] = -torch.inf
            text.append(int(logits.argmax()))
        assert text_of(outcome, row) == tuple(text)


def test_more_beams_never_do_worse_here() -> None:
    best = [search(Toy(), SearchRules(beam_size=k, max_length=6)).scores[:, 0] for k in (1, 3, 400)]
    assert (best[0] <= best[1] + 1e-6).all() and (best[1] <= best[2] + 1e-6).all()
    assert (best[0] < best[2] - 1e-3).any()


def test_a_greater_length_penalty_gives_no_shorter_texts() -> None:
    outcome = [
        search(Toy(), dataclasses.replace(EVERY_TEXT, length_penalty=penalty)) for penalty in (-3.0, 0.0, 1.0, 4.0)
    ]
    lengths = [texts.attention_mask[:, 0].sum(-1) for texts in outcome]
    assert all((one <= two).all() for one, two in itertools.pairwise(lengths))
    assert (lengths[0] < lengths[-1]).any()


@pytest.mark.parametrize("beam_size", [1, 2, 4, 40])
@pytest.mark.parametrize("ngram", [1, 2])
def test_a_text_that_may_not_go_on_ends_and_no_id_is_written_that_never_is(beam_size: int, ngram: int) -> None:
    """Three words, none (or no pair) of them twice: 4 (or at most 11) tokens before the end, 30 are wanted."""
    rules = SearchRules(beam_size=beam_size, max_length=30, min_length=30, no_repeat_ngram=ngram)
    outcome = search(Toy(), rules)
    for row in range(ROWS):
        start, *words, end = text_of(outcome, row)
        assert (start, end) == (START, END) and set(words) <= set(range(3, WORDS))
        assert len(words) == 3 if ngram == 1 else 4 <= len(words) <= 10
        assert outcome.scores[row, 0] > -torch.inf
    written = outcome.ids[outcome.attention_mask]
    assert set(written[written != START].tolist()) <= {END, *range(3, WORDS)}, "not even in texts of no probability"


def test_a_text_stuck_before_the_fewest_tokens_never_displaces_one_that_is_long_enough() -> None:
    logits = torch.full((40, WORDS, WORDS), -20.0)
    logits[:, START, 3], logits[:, 3, 3], logits[:, START, 4], logits[:, 4, 5] = 9.0, 9.0, 8.0, 9.0
    toy = Toy()
    toy.logits = logits.expand(ROWS, -1, -1, -1)
    outcome = search(toy, SearchRules(beam_size=2, max_length=4, min_length=4, no_repeat_ngram=1))
    assert all(len(text_of(outcome, row)) == 4 for row in range(ROWS))


def test_an_ended_text_is_followed_by_padding_and_keeps_its_score() -> None:
    toy = Toy()
    short, long = (search(toy, SearchRules(3, max_length=n, early_exit=False, length_penalty=0.0)) for n in (6, 12))
    for outcome in (short, long):
        ended = outcome.ids == END
        assert (ended.sum(-1) <= 1).all()
        after_end = ended.int().cumsum(-1).roll(1, -1).bool()
        after_end[..., 0] = False
        assert torch.equal(outcome.attention_mask, ~after_end)
        assert (outcome.ids[after_end] == PAD).all() and not (outcome.ids[~after_end] == PAD).any()
    # With the best text ended after 6 tokens, more room changes nothing: a longer text is less probable.
    done = (short.ids[:, 0] == END).any(-1)
    assert done.any()
    torch.testing.assert_close(long.scores[done, 0], short.scores[done, 0])
    assert torch.equal(long.ids[done, 0, :6], short.ids[done, 0])


def test_leaving_early_changes_nothing_but_the_work() -> None:
    eager, patient = Toy(spread=8.0), Toy(spread=8.0)
    rules = SearchRules(beam_size=2, max_length=30)
    early, late = search(eager, rules), search(patient, dataclasses.replace(rules, early_exit=False))
    assert eager.calls < patient.calls == 29
    length = early.ids.shape[-1]
    assert torch.equal(early.ids, late.ids[..., :length]) and not late.attention_mask[..., length:].any()
    assert torch.equal(early.scores, late.scores)


def test_no_run_of_tokens_is_repeated() -> None:
    for size in (1, 2, 3):
        rules = SearchRules(beam_size=2, max_length=12 if size > 1 else 5, min_length=5, no_repeat_ngram=size)
        outcome = search(Toy(spread=6.0), rules)
        for row in range(ROWS):
            text = text_of(outcome, row)
            runs = [text[k : k + size] for k in range(len(text) - size + 1)]
            assert len(runs) == len(set(runs))
    free = text_of(search(Toy(spread=6.0), SearchRules(beam_size=2, max_length=12, min_length=12)), 0)
    assert len(set(itertools.pairwise(free))) < 11


def test_what_would_repeat_a_run() -> None:
    ids = torch.tensor([[2, 3, 4, 2, 3], [2, 3, 4, 5, 4]])
    # After "2 3" came 4; after "4" came 5; of single tokens all seen ones.
    assert repeats(ids, 3, torch.zeros(2, 6)).nonzero().tolist() == [[0, 4]]
    assert repeats(ids, 2, torch.zeros(2, 6)).nonzero().tolist() == [[0, 4], [1, 5]]
    assert repeats(ids, 1, torch.zeros(2, 6))[0].nonzero().flatten().tolist() == [2, 3, 4]
    assert not repeats(ids, 6, torch.zeros(2, 6)).any()


def test_a_row_alone_is_written_as_in_a_batch() -> None:
    rules = SearchRules(beam_size=3, max_length=9, no_repeat_ngram=2)
    together = search(Toy(), rules)
    for row in range(ROWS):
        alone = search(Toy(), rules, rows=[row])
        length = alone.ids.shape[-1]
        assert torch.equal(alone.ids[0], together.ids[row, :, :length])
        assert not together.attention_mask[row, :, length:].any()
        assert torch.equal(alone.scores[0], together.scores[row])


def test_a_given_beginning_is_kept_and_costs_nothing() -> None:
    toy = Toy()
    rules = SearchRules(beam_size=400, max_length=4, length_penalty=0.0)
    outcome = search(toy, rules, prefix=torch.tensor([[START, 3], [START, 4], [START, 5], [START, 3]]))
    for row, second in enumerate((3, 4, 5, 3)):
        cost = float(toy.logits[row, 0, START].log_softmax(-1)[second])
        texts = {t: s - cost for t, s in every_text(toy, row, rules).items() if t[1] == second}
        assert text_of(outcome, row) == max(texts, key=texts.__getitem__)
        assert float(outcome.scores[row, 0]) == pytest.approx(max(texts.values()), abs=1e-5)


def test_a_real_decoder_writes_within_its_rules() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "text_dim": WIDTH, "num_layers": 1, "num_heads": 4}
    decoder = BertTextDecoder(**sizes, max_text_length=10).eval()
    memory, mask = torch.randn(3, 4, WIDTH), torch.ones(3, 4, dtype=torch.bool)
    start = torch.full((3, 1), 2)
    rules = SearchRules(beam_size=2, max_length=10, min_length=6)
    outcome = generate(decoder, memory, mask, start, end_id=3, pad_id=0, banned_ids=[1, 2, 4], rules=rules)
    assert outcome.ids.shape[:2] == (3, 2) and outcome.ids.shape[2] <= 10
    assert (outcome.attention_mask.sum(-1) >= 6).all()
    assert not torch.isin(outcome.ids[..., 1:], torch.tensor([1, 2, 4])).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size: must be at least 1, got 0"),
        ({"min_length": 30}, r"min_length: must be between 0 and max_length \(20\), got 30"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram: must be 0 or more, got -1"),
        ({"length_penalty": float("nan")}, "length_penalty: must be a finite number, got nan"),
        ({"length_measure": "words"}, "length_measure: must be one of written, wu, got 'words'"),
    ],
)
def test_wrong_rules_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchRules(**settings)


def test_a_beginning_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be shorter than max_length \(1\), got 1 tokens"):
        search(Toy(), SearchRules(max_length=1))
