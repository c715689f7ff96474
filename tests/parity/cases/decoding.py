"""Greedy and beam search on the logits of one decoder, beside transformers' ``generate``."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.generate import SearchRules, generate
from tests.parity.comparison import Comparison, Measured

WIDTH, VOCABULARY, PAD, END, START = 32, 40, 0, 1, 2
CASES, ROWS = 25, 8


@cache
def _decoder(seed: int) -> Any:
    import transformers as hf

    from tests.weights.sources import randomised

    config = hf.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=20,
        is_decoder=True,
        add_cross_attention=True,
        tie_word_embeddings=False,
    )
    return randomised(hf.BertLMHeadModel(config), seed)


def _texts(seed: int, beams: int, penalty: float, shortest: int, ngram: int = 0) -> list[tuple[list[int], list[int]]]:
    model = _decoder(seed)
    memory = torch.randn(ROWS, 5, WIDTH, generator=torch.Generator().manual_seed(100 + seed))
    mask = torch.ones(ROWS, 5, dtype=torch.bool)
    start = torch.full((ROWS, 1), START)

    def decode(tokens: TokenBatch, states: torch.Tensor, states_mask: torch.Tensor) -> torch.Tensor:
        attended = {"attention_mask": tokens.attention_mask.long(), "encoder_attention_mask": states_mask.long()}
        return model(tokens.input_ids, encoder_hidden_states=states, **attended).logits

    rules = SearchRules(
        beam_size=beams, max_length=12, min_length=shortest, length_penalty=penalty, no_repeat_ngram=ngram
    )
    ours = generate(decode, memory, mask, start, end_id=END, pad_id=PAD, rules=rules)
    theirs = model.generate(
        start,
        encoder_hidden_states=memory,
        encoder_attention_mask=mask.long(),
        num_beams=beams,
        max_length=12,
        min_length=shortest,
        length_penalty=penalty,
        no_repeat_ngram_size=ngram,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=PAD,
        bos_token_id=START,
        suppress_tokens=[PAD],
        early_stopping=False,
        use_cache=False,  # with its cache this decoder writes other texts than without (transformers 4.57)
    )
    written = ours.ids[:, 0], theirs
    rows = [[[n for n in row if n != PAD] for row in ids.tolist()] for ids in written]
    return list(zip(*rows, strict=True))


def _search(beams: int, penalty: float = 1.0, shortest: int = 0, ngram: int = 0) -> Measured:
    return Measured.equality(pair for seed in range(CASES) for pair in _texts(seed, beams, penalty, shortest, ngram))


_BEAMS = "generate: an ended text keeps its place among the beams"
COMPARISONS = (
    Comparison("greedy search", "transformers", lambda: _search(1)),
    Comparison("greedy search, at least 6 tokens", "transformers", lambda: _search(1, shortest=6)),
    Comparison("greedy search, no pair of words twice", "transformers", lambda: _search(1, ngram=2)),
    Comparison("3 beams, length penalty 0", "transformers", lambda: _search(3, 0.0), 0.0, _BEAMS),
    Comparison("3 beams, length penalty 1", "transformers", lambda: _search(3, 1.0), 0.0, _BEAMS),
    Comparison("5 beams, length penalty 2, at least 6 tokens", "transformers", lambda: _search(5, 2.0, 6), 0.0, _BEAMS),
)
