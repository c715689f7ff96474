"""The kit names the fault of tokenizers that are broken on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from bus_toolkit.structures import TokenBatch
from bus_toolkit.testing import ConformanceError, check_tokenizer
from bus_toolkit.tokenizers import CorpusTokenizer


class PadsWithOnes(CorpusTokenizer):
    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        ids, mask = super().__call__(texts)
        return TokenBatch(ids.masked_fill(~mask, 1), mask)


class Endless(CorpusTokenizer):
    def __init__(self, *, max_length: int = 16) -> None:
        super().__init__(max_length=1000)
        self.max_length = max_length


class Shuffling(CorpusTokenizer):
    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        ids, mask = super().__call__(texts)
        ids[:, 1] = len(texts) + 5
        return TokenBatch(ids, mask)


class Bare:
    vocab_size = 10

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        return TokenBatch(torch.ones(len(texts), 2).long(), torch.ones(len(texts), 2).bool())


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (PadsWithOnes, "token_batch: padded positions hold other ids than pad_token_id"),
        (Endless, "long_text: 160 words become 162 ids at max_length 16"),
        (Shuffling, "batch_independent: 'a small red circle' alone becomes "),
        (Bare, "vocabulary: max_length, pad_token_id, .*: no such attribute"),
    ],
)
def test_broken_tokenizers_are_caught_by_name(part: type, what: str) -> None:
    with pytest.raises(ConformanceError, match=what):
        check_tokenizer(part)
