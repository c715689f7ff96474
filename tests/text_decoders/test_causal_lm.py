"""A causal language model from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.causal_lm import CausalLMFolder
from tests.tiny import VOCABULARY, token_batch


def gpt2(folder: Path) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return model


def bert(folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, max_position_embeddings=16, **sizes)).save_pretrained(folder)


def test_it_gives_the_logits_of_the_folder_whatever_the_padding_holds(tmp_path: Path) -> None:
    original, tokens = gpt2(tmp_path), token_batch(batch=2, length=6, padded=2)
    part = CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path)).eval()
    assert part.max_text_length == 16
    alone = original(input_ids=tokens.input_ids[:, :4]).logits
    torch.testing.assert_close(part(tokens)[:, :4], alone)


@pytest.mark.parametrize("save", [gpt2, bert])
def test_a_later_word_never_changes_an_earlier_prediction(save, tmp_path: Path) -> None:
    save(tmp_path)
    part = CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path)).eval()
    tokens = token_batch()
    changed = TokenBatch(tokens.input_ids.clone(), tokens.attention_mask)
    changed.input_ids[:, 4:] = 7
    torch.testing.assert_close(part(tokens)[:, :4], part(changed)[:, :4])


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder: 'gone' holds no config.json"):
        CausalLMFolder(vocab_size=VOCABULARY, folder="gone")
    gpt2(tmp_path / "whole")
    with pytest.raises(ValueError, match="its vocabulary has 50 entries, the tokenizer 51.*Use the tokenizer"):
        CausalLMFolder(vocab_size=VOCABULARY + 1, folder=str(tmp_path / "whole"))
    CLIPVisionConfig().save_pretrained(tmp_path / "tower")
    with pytest.raises(
        ValueError, match="its config.json is of a clip_vision_model, .* Name the folder of one, such as"
    ):
        CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path / "tower"))
    pickled = gpt2(tmp_path / "pickled").state_dict()
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(pickled, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be used: .*safetensors"):
        CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path / "pickled"))


def llama(folder: Path, *, tied: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=tied, **sizes))
    model.save_pretrained(folder)
    return model


def test_a_model_that_was_saved_without_its_head_is_refused(tmp_path: Path) -> None:
    llama(tmp_path).model.save_pretrained(tmp_path)
    message = (
        r"folder: 1 tensors of a LlamaForCausalLM are not in .*, the first: lm_head.weight\. .* Save the whole model"
    )
    with pytest.raises(ValueError, match=message):
        CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path))


def test_a_folder_without_a_layer_is_refused(tmp_path: Path) -> None:
    llama(tmp_path)
    file = tmp_path / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if ".layers.1." not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"folder: 9 tensors of a LlamaForCausalLM are not in .*model\.layers\.1\."):
        CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path))


def test_a_head_that_is_the_word_table_need_not_be_saved(tmp_path: Path) -> None:
    original, tokens = llama(tmp_path, tied=True).eval(), token_batch()
    part = CausalLMFolder(vocab_size=VOCABULARY, folder=str(tmp_path)).eval()
    torch.testing.assert_close(part(tokens), original(input_ids=tokens.input_ids).logits)
