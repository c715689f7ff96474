"""BERT weights give the outputs that transformers computes from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.loading import load_pretrained
from tests.weights.sources import BERT, DEPTH, HEADS, VOCABULARY, WIDTH, randomised

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_heads": HEADS, "max_text_length": 12}


def encoder(**settings: Any) -> BertTextEncoder:
    return randomised(BertTextEncoder(**{**SIZES, "num_layers": DEPTH, "hidden_size": WIDTH, **settings}), 1)


def decoder(**settings: Any) -> BertTextDecoder:
    return randomised(BertTextDecoder(**{**SIZES, "num_layers": DEPTH, "text_dim": WIDTH, **settings}), 1)


def tokens(length: int = 7) -> TokenBatch:
    ids = torch.randint(5, VOCABULARY, (3, length), generator=torch.Generator().manual_seed(3))
    mask = torch.ones(3, length, dtype=torch.bool)
    mask[0, -2:] = False
    return TokenBatch(ids, mask)


def bert(cls: type, **settings: Any) -> Any:
    return randomised(cls(hf.BertConfig(**{**BERT, **settings})))


def hidden(source: Any, batch: TokenBatch) -> torch.Tensor:
    trunk = getattr(source, "bert", source)
    return trunk(batch.input_ids, batch.attention_mask.long()).last_hidden_state


@pytest.mark.parametrize("cls", [hf.BertModel, hf.BertForMaskedLM], ids=["bare", "with a head"])
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_text_encoder(tmp_path: Path, cls: type, safe: bool) -> None:
    source, module = bert(cls), encoder()
    source.save_pretrained(tmp_path, safe_serialization=safe)
    report = load_pretrained(module, tmp_path, part="model.text_encoder")
    torch.testing.assert_close(module(tokens()).embeds, hidden(source, tokens()), **CLOSE)
    assert report.layout == "hf-bert" and not report.missing
    assert report.resized == [f"bert.embeddings.position_embeddings.weight (20, {WIDTH}) to (12, {WIDTH})"]


def test_shards_with_an_index(tmp_path: Path) -> None:
    source, module = bert(hf.BertModel), encoder()
    source.save_pretrained(tmp_path, max_shard_size="8KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    load_pretrained(module, tmp_path, part="model.text_encoder")
    torch.testing.assert_close(module(tokens()).embeds, hidden(source, tokens()), **CLOSE)


def test_the_first_layers_of_a_deeper_one_are_taken_and_the_rest_is_reported(tmp_path: Path) -> None:
    source, module = bert(hf.BertModel, num_hidden_layers=4), encoder()
    source.save_pretrained(tmp_path)
    report = load_pretrained(module, tmp_path, part="model.text_encoder")
    batch = tokens()
    states = source(batch.input_ids, batch.attention_mask.long(), output_hidden_states=True).hidden_states
    torch.testing.assert_close(module(batch).embeds, states[DEPTH], **CLOSE)
    assert "encoder.layer.3.output.dense.weight" in report.unexpected
    assert "encoder.layer.1.output.dense.weight" not in report.unexpected


def test_norms_by_their_old_names(tmp_path: Path) -> None:
    source, module = bert(hf.BertForMaskedLM), encoder()
    source.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for n, t in load_file(file).items()
    }
    assert "bert.encoder.layer.1.attention.output.LayerNorm.gamma" in old
    save_file(old, file)
    load_pretrained(module, tmp_path, part="model.text_encoder")
    torch.testing.assert_close(module(tokens()).embeds, hidden(source, tokens()), **CLOSE)


def test_text_decoder_with_cross_attention(tmp_path: Path) -> None:
    source = bert(hf.BertLMHeadModel, is_decoder=True, add_cross_attention=True, use_cache=False)
    module = decoder()
    source.save_pretrained(tmp_path)
    report = load_pretrained(module, tmp_path, part="model.text_decoder")
    batch, memory = tokens(), torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(4))
    expected = source(batch.input_ids, batch.attention_mask.long(), encoder_hidden_states=memory).logits
    torch.testing.assert_close(module(batch, memory)[batch.attention_mask], expected[batch.attention_mask], **CLOSE)
    assert report.layout == "hf-bert-decoder" and not report.missing and not report.unexpected


def test_a_decoder_starts_from_a_plain_bert_and_keeps_its_own_cross_attention(tmp_path: Path) -> None:
    source, module = bert(hf.BertForMaskedLM), decoder()
    own = module.bert.bert.encoder.layer[0].crossattention.self.query.weight.clone()
    source.save_pretrained(tmp_path)
    report = load_pretrained(module, tmp_path, part="model.text_decoder")
    layer = module.bert.bert.encoder.layer[0]
    assert torch.equal(layer.crossattention.self.query.weight, own)
    assert torch.equal(layer.attention.self.query.weight, source.bert.encoder.layer[0].attention.self.query.weight)
    assert all(".crossattention." in name for name in report.missing) and report.missing
    assert "stay as they were" in report.summary()


def test_the_folder_of_the_text_encoder_reads_bin_files(tmp_path: Path) -> None:
    source = bert(hf.BertModel)
    source.save_pretrained(tmp_path, safe_serialization=False)
    module = BertTextEncoder(**SIZES, num_layers=DEPTH, hidden_size=WIDTH, folder=str(tmp_path)).eval()
    torch.testing.assert_close(module(tokens()).embeds, hidden(source, tokens()), **CLOSE)
