"""The text decoder is causal and reads its memory."""

from __future__ import annotations

import torch

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.bert import BertTextDecoder
from tests.tiny import VOCABULARY, WIDTH, token_batch


def decoder(cross_attention: bool = True) -> BertTextDecoder:
    torch.manual_seed(0)
    return BertTextDecoder(
        vocab_size=VOCABULARY,
        pad_token_id=0,
        text_dim=WIDTH,
        num_layers=2,
        num_heads=4,
        max_text_length=16,
        cross_attention=cross_attention,
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


def test_without_cross_attention_it_reads_text_alone() -> None:
    model, tokens = decoder(cross_attention=False), token_batch(length=6, padded=2)
    assert not model.reads_memory and not any("crossattention" in name for name in model.state_dict())
    changed = TokenBatch(tokens.input_ids.clone(), tokens.attention_mask)
    changed.input_ids[:, 3] = 7
    torch.testing.assert_close(model(tokens)[:, :3], model(changed)[:, :3])
    assert not torch.allclose(model(tokens)[:, 3], model(changed)[:, 3])
    shorter = TokenBatch(tokens.input_ids[:, :4], tokens.attention_mask[:, :4])
    torch.testing.assert_close(model(tokens)[:, :4], model(shorter))


def test_random_weights_are_as_wide_as_asked() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "text_dim": 128, "num_layers": 1, "num_heads": 4}
    spread = [
        BertTextDecoder(**sizes, **more).bert.bert.encoder.layer[0].intermediate.dense.weight.std().item()
        for more in ({}, {"initializer_range": 0.088})
    ]
    assert [round(value, 2) for value in spread] == [0.02, 0.09]
