"""Which words are hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.heads.word_masks import replaced_as_bert
from bus_toolkit.step.batch import Batch
from bus_toolkit.structures import FusedTokens, Masked, TokenBatch, Vocabulary
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from tests.deterministic import RefusesAsAGpu
from tests.tiny import WIDTH, token_batch
from tests.tiny_model import LETTERS, LetterTokenizer, sample


def head(**kwargs: object) -> MLMHead:
    torch.manual_seed(0)
    return MLMHead(text_dim=WIDTH, vocabulary=LETTERS, **kwargs)  # type: ignore[arg-type]


def noise(batch: int, length: int) -> torch.Tensor:
    return torch.rand(batch, length, generator=torch.Generator().manual_seed(1))


def test_the_share_is_exact_and_special_tokens_and_padding_stay() -> None:
    tokens = token_batch(batch=40, length=13, padded=2)
    masked = head(mask_prob=0.4).mask(tokens, noise(40, 13))
    hidden = masked.tokens.input_ids == 4
    # 13 tokens: [CLS], 10 words, 2 of padding; 0.4 of 10 words.
    assert hidden.sum(dim=1).tolist() == [4] * 40
    assert not hidden[:, 0].any()
    assert not hidden[:, -2:].any()
    assert torch.equal(masked.tokens.input_ids[~hidden], tokens.input_ids[~hidden])
    assert torch.equal(tokens.input_ids.gather(1, masked.positions)[masked.valid], masked.targets[masked.valid])


def test_at_least_one_word_is_hidden() -> None:
    masked = head(mask_prob=0.01).mask(token_batch(), noise(3, 6))
    assert (masked.tokens.input_ids == 4).sum(dim=1).tolist() == [1, 1, 1]


def test_skipped_words_are_never_hidden() -> None:
    tokens = token_batch(batch=50, length=8)
    masked = head(mask_prob=0.9, skip_words=["c", "e"]).mask(tokens, noise(50, 8))
    kept = (tokens.input_ids == 7) | (tokens.input_ids == 9)
    assert kept.any()
    assert (masked.tokens.input_ids[kept] != 4).all()


def test_a_caption_of_skipped_words_alone_hides_nothing() -> None:
    tokens = TokenBatch(torch.full((2, 4), 7), torch.ones(2, 4, dtype=torch.bool))
    masked = head(skip_words=["c"]).mask(tokens, noise(2, 4))
    assert not masked.valid.any()
    assert torch.equal(masked.tokens.input_ids, tokens.input_ids)


def test_logits_are_computed_at_the_hidden_places_only() -> None:
    model, text = head(), torch.randn(2, 6, WIDTH)
    fused = FusedTokens(text, text, torch.ones(2, 6, dtype=torch.bool))
    positions = torch.tensor([[1, 4], [0, 5]])
    expected = model.vocabulary(model.transform(text))
    torch.testing.assert_close(model.logits(fused, positions)[0, 1], expected[0, 4])
    assert model.logits(fused, positions).shape == (2, 2, LETTERS.size)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.2])
def test_a_share_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"mask_prob: must be in \(0, 1\)"):
        head(mask_prob=value)


# Of the letters, d to h continue a word: "adh" is one word, "abd" two.
PIECES = replace(LETTERS, continuation_ids=(8, 9, 10, 11, 12))


def slowly_hidden(ids: list[int], noise: list[float], wanted: int, skipped: set[int]) -> set[int]:
    """Return the places of the words with the lowest noise as long as they fit, at least one."""
    words: list[list[int]] = []
    for place, number in enumerate(ids):
        if number in (0, 1, 2, 3, 4):
            continue
        if number in PIECES.continuation_ids and words and words[-1][-1] == place - 1:
            words[-1].append(place)
        else:
            words.append([place])
    words = [word for word in words if any(ids[place] not in skipped for place in word)]
    hidden: set[int] = set()
    for word in sorted(words, key=lambda word: noise[word[0]]):
        if hidden and len(hidden) + len(word) > wanted:
            break
        hidden |= set(word)
    return hidden


@pytest.mark.parametrize("skipped", [[], ["b", "i"]])
def test_whole_words_are_hidden_as_a_slow_version_hides_them(skipped: list[str]) -> None:
    torch.manual_seed(0)
    mlm = MLMHead(text_dim=WIDTH, vocabulary=PIECES, mask_prob=0.3, whole_words=True, skip_words=skipped)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 18, (300, 14), generator=generator)
    ids[:, 0], ids[:, 1] = 2, ids[:, 1].masked_fill((ids[:, 1] >= 8) & (ids[:, 1] <= 12), 5)
    lengths = torch.randint(3, 15, (300,), generator=generator)
    mask = torch.arange(14) < lengths.unsqueeze(1)
    ids = ids.scatter(1, lengths.unsqueeze(1) - 1, 3).masked_fill(~mask, 0)
    draws = noise(300, 14)
    masked = mlm.mask(TokenBatch(ids, mask), draws)
    counts = set()
    for row in range(300):
        maskable = [
            number for number in ids[row].tolist() if number > 4 and number not in LETTERS.ids_of_words(skipped)
        ]
        wanted = max(1, round(len(maskable) * 0.3))
        expected = slowly_hidden(ids[row].tolist(), draws[row].tolist(), wanted, set(LETTERS.ids_of_words(skipped)))
        assert set((masked.tokens.input_ids[row] == 4).nonzero().flatten().tolist()) == expected
        guessed = masked.positions[row][masked.valid[row]].tolist()
        assert guessed == sorted(expected)[: masked.positions.shape[1]]
        assert masked.targets[row][masked.valid[row]].tolist() == ids[row][guessed].tolist()
        counts.add(len(expected))
    assert len(counts) > 3, "words of several lengths were drawn"


def test_a_piece_that_begins_a_text_is_hidden_without_the_special_token_before() -> None:
    mlm = MLMHead(text_dim=WIDTH, vocabulary=PIECES, mask_prob=0.5, whole_words=True)
    ids = torch.tensor([[2, 8, 9, 5, 3, 0]])  # [CLS] d e a [SEP] [PAD]
    tokens = TokenBatch(ids, ids > 0)
    for first, expected in ((0.1, [2, 4, 4, 5, 3, 0]), (0.9, [2, 8, 9, 4, 3, 0])):
        draws = torch.tensor([[0.5, first, 0.3, 0.4, 0.5, 0.5]])
        with RefusesAsAGpu():
            shown = mlm.mask(tokens, draws).tokens.input_ids
        assert shown[0].tolist() == expected


def test_each_word_is_as_likely_to_be_hidden_whatever_its_tokens() -> None:
    mlm = MLMHead(text_dim=WIDTH, vocabulary=PIECES, mask_prob=0.2, whole_words=True)
    ids = torch.tensor([[2, 5, 6, 8, 9, 7, 3]]).repeat(6000, 1)  # a, b d e, c
    hidden = mlm.mask(TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool)), noise(6000, 7)).tokens.input_ids == 4
    torch.testing.assert_close(hidden.float().mean(dim=0)[1:6], torch.full((5,), 1 / 3), atol=0.03, rtol=0)


def test_a_tokenizer_that_splits_no_words_hides_the_same_tokens_either_way() -> None:
    tokens, draws = token_batch(batch=40, length=13, padded=2), noise(40, 13)
    alone, whole = (head(mask_prob=0.4, whole_words=value).mask(tokens, draws) for value in (False, True))
    assert torch.equal(alone.tokens.input_ids, whole.tokens.input_ids)


def test_wordpieces_know_which_entries_continue_a_word() -> None:
    tokenizer = WordPieceTokenizer()
    ids = tokenizer(["a photosynthesising platypus"]).input_ids[0].tolist()
    pieces = set(Vocabulary.of(tokenizer).continuation_ids)
    entries = tokenizer.convert_ids_to_tokens(ids)
    assert [number in pieces for number in ids] == [entry.startswith("##") for entry in entries]
    assert any(number in pieces for number in ids) and CorpusTokenizer().continuation_ids == []


def test_berts_replacement_shows_eight_masks_one_random_entry_and_one_word_in_ten() -> None:
    ids = torch.full((4000, 5), 7)
    hidden = ids.clone()
    hidden[:, 1:3] = 4
    draws = torch.rand(4000, 5, 2, generator=torch.Generator().manual_seed(0))
    shown = replaced_as_bert(ids, hidden, draws, LETTERS.size)
    assert (shown[:, [0, 3, 4]] == 7).all()
    places, kept = shown[:, 1:3].flatten(), (draws[:, 1:3, 0] >= 0.9).flatten()
    assert (places[kept] == 7).all()
    assert (places == 4).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (places == 7).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert set(places.tolist()) == set(range(LETTERS.size)), "special entries too, as in ALBEF"


def test_what_is_shown_for_a_hidden_word_does_not_change_what_is_guessed() -> None:
    masked, berts = (tiny_masked(replacement) for replacement in ("mask", "bert"))
    assert torch.equal(masked.positions, berts.positions) and torch.equal(masked.targets, berts.targets)
    unlike = masked.tokens.input_ids != berts.tokens.input_ids
    assert unlike.any() and (masked.tokens.input_ids[unlike] == 4).all()


def tiny_masked(replacement: str) -> Masked:
    texts = ["abcdefgh", "ijklmnop", "qrstuvwx"] * 8
    batch = Batch(torch.zeros(24, 3, 8, 8), [sample(text, 0) for text in texts], LetterTokenizer(), seed=0)
    return head(mask_prob=0.9, replacement=replacement).hide(batch)


def test_an_unknown_replacement_is_refused() -> None:
    with pytest.raises(ValueError, match="replacement: must be mask or bert, got 'random'"):
        head(replacement="random")
