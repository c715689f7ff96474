"""The kit names the fault of text encoders and decoders that are broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.structures import TextTokens, TokenBatch
from bus_toolkit.testing import ConformanceError, check_text_decoder, check_text_encoder


class Bag(nn.Module):
    """A sound encoder: each word for itself, the mean of them pooled."""

    def __init__(self, *, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embed_dim = hidden_size
        self.words = nn.Embedding(vocab_size, hidden_size)

    def forward(self, tokens: TokenBatch) -> TextTokens:
        embeds, mask = self.words(tokens.input_ids), tokens.attention_mask
        weights = mask.to(embeds.dtype).unsqueeze(-1)
        return TextTokens(embeds, (embeds * weights).sum(dim=1) / weights.sum(dim=1), mask)


class ReadsPadding(Bag):
    def forward(self, tokens: TokenBatch) -> TextTokens:
        text = super().forward(tokens)
        return replace(text, pooled=text.embeds.mean(dim=1))


class Narrow(Bag):
    def forward(self, tokens: TokenBatch) -> TextTokens:
        text = super().forward(tokens)
        return replace(text, embeds=text.embeds[..., :8])


class Next(nn.Module):
    """A sound decoder: it adds the mean of the states that it may read to the word before."""

    def __init__(self, *, vocab_size: int, text_dim: int) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(vocab_size, text_dim), nn.Linear(text_dim, vocab_size)

    def forward(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        weights = memory_mask.to(memory.dtype).unsqueeze(-1)
        return self.out(self.words(tokens.input_ids) + (memory * weights).mean(dim=1, keepdim=True))


class LooksAhead(Next):
    def forward(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        logits = super().forward(tokens, memory, memory_mask)
        return logits + logits.mean(dim=1, keepdim=True)


class ReadsAllStates(Next):
    def forward(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        return super().forward(tokens, memory, torch.ones_like(memory_mask))


def test_sound_parts_pass() -> None:
    check_text_encoder(Bag)
    check_text_decoder(Next)


@pytest.mark.parametrize(
    ("check", "part", "what"),
    [
        (check_text_encoder, ReadsPadding, "padding_unread: other padding: result 1 differs"),
        (check_text_encoder, Narrow, r"encoded: embeds have shape \(3, 6, 8\), not \(3, 6, 32\)"),
        (check_text_decoder, LooksAhead, "causal: other tokens from position 3 on"),
        (check_text_decoder, ReadsAllStates, "states: states that memory_mask forbids are read"),
    ],
)
def test_broken_parts_are_caught_by_name(check, part: type[nn.Module], what: str) -> None:
    with pytest.raises(ConformanceError, match=what):
        check(part)
