"""The text decoder is causal and reads its memory."""

from __future__ import annotations

import torch

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.bert import BertTextDecoder
from tests.tiny import VOCABULARY, WIDTH, token_batch


def decoder() -> BertTextDecoder:
    torch.manual_seed(0)
    return BertTextDecoder(
        vocab_size=VOCABULARY, pad_token_id=0, text_dim=WIDTH, num_layers=2, num_heads=4, max_text_length=16
    ).eval()


def test_a_later_word_never_changes_an_earlier_prediction() -> None:
    model, tokens, memory = decoder(), token_batch(), torch.randn(3, 4, WIDTH)
    changed = TokenBatch(tokens.input_ids.clone(), tokens.attention_mask)
    changed.input_ids[:, 4:] = 7
    torch.testing.assert_close(model(tokens, memory)[:, :4], model(changed, memory)[:, :4])


def test_masked_memory_is_not_read() -> None:
    model, tokens, memory = decoder(), token_batch(), torch.randn(3, 4, WIDTH)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[:, 2:] = False
    noisy = memory.clone()
    noisy[:, 2:] += 9.0
    torch.testing.assert_close(model(tokens, memory, mask), model(tokens, noisy, mask))
    assert not torch.allclose(model(tokens, memory), model(tokens, noisy))
