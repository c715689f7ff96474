"""A causal language model of a config, with random weights."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders import CausalLM
from tests.tiny import VOCABULARY, token_batch


def small(**settings: object) -> CausalLM:
    torch.manual_seed(0)
    known = {"vocab_size": VOCABULARY, "pad_token_id": 0, "hidden_size": 16, "num_layers": 2, "num_heads": 2}
    return CausalLM(**{**known, **settings}).eval()


def test_it_is_the_llama_of_transformers_of_these_sizes() -> None:
    part, tokens = small(num_key_value_heads=1, mlp_ratio=2, max_text_length=24), token_batch()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=24,
    )
    original = LlamaForCausalLM(config).eval()
    original.load_state_dict(part.model.state_dict())
    wanted = original(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask.long()).logits
    torch.testing.assert_close(part(tokens), wanted)
    assert part.max_text_length == 24 and not part.is_pretrained and not part.reads_memory


def test_a_later_word_never_changes_an_earlier_prediction() -> None:
    part, tokens = small(), token_batch()
    changed = TokenBatch(tokens.input_ids.clone(), tokens.attention_mask)
    changed.input_ids[:, 4:] = 7
    torch.testing.assert_close(part(tokens)[:, :4], part(changed)[:, :4])


@pytest.mark.parametrize("heads", [{"num_heads": 3}, {"num_heads": 16}, {"num_heads": 2, "num_key_value_heads": 3}])
def test_heads_that_do_not_share_the_width_are_refused(heads: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"num_heads: must share hidden_size \(16\) in even numbers"):
        small(**heads)


def test_sizes_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="num_layers: must be above 0, got 0"):
        small(num_layers=0)
