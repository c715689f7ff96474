"""Which words are hidden."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.structures import FusedTokens, TokenBatch
from tests.tiny import WIDTH, token_batch
from tests.tiny_model import LETTERS


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
