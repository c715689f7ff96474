"""The BERT text encoder: padding, local folders, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_encoders.bert import BertTextEncoder
from tests.tiny import VOCABULARY, WIDTH, token_batch

SIZES = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_layers": 2, "hidden_size": WIDTH, "num_heads": 4}


def encoder(**kwargs: object) -> BertTextEncoder:
    torch.manual_seed(0)
    return BertTextEncoder(**{**SIZES, "max_text_length": 16, **kwargs}).eval()  # type: ignore[arg-type]


def test_padding_changes_neither_the_pooled_text_nor_the_real_tokens() -> None:
    model = encoder()
    short = token_batch(length=5)
    padded = TokenBatch(
        torch.cat([short.input_ids, torch.full((3, 4), 7)], dim=1),
        torch.cat([short.attention_mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(model(padded).pooled, model(short).pooled)
    torch.testing.assert_close(model(padded).embeds[:, :5], model(short).embeds)


@pytest.mark.parametrize(("name", "least"), [("num_layers", 0), ("num_heads", 1)])
def test_too_low_numbers_are_refused(name: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be {least} or more, got -1"):
        encoder(**{name: -1})


@pytest.mark.parametrize("value", [0.0, -0.02, float("nan")])
def test_a_deviation_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"initializer_range: must be above 0, got {value}"):
        encoder(initializer_range=value)


def test_without_layers_it_is_the_embeddings_of_bert() -> None:
    model, tokens = encoder(num_layers=0), token_batch()
    torch.testing.assert_close(model(tokens).embeds, model.bert.embeddings(tokens.input_ids))
    assert [name for name, _ in model.named_parameters() if "embeddings" not in name] == []


def test_a_local_folder_gives_the_same_numbers_as_the_library(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    source = BertModel(config, add_pooling_layer=False).eval()
    source.save_pretrained(tmp_path)
    model = encoder(folder=str(tmp_path))
    tokens = token_batch(padded=2)
    expected = source(tokens.input_ids, tokens.attention_mask.long()).last_hidden_state
    torch.testing.assert_close(model(tokens).embeds[:, :4], expected[:, :4], atol=1e-5, rtol=1e-5)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="holds no config.json.*never downloaded"):
        encoder(folder=str(tmp_path / "bert-base-uncased"))


def test_a_folder_with_another_vocabulary_is_refused(tmp_path: Path) -> None:
    BertModel(BertConfig(vocab_size=11, hidden_size=8, num_attention_heads=2, num_hidden_layers=1)).save_pretrained(
        tmp_path
    )
    with pytest.raises(ComponentError, match="has 11 entries, the tokenizer 50"):
        encoder(folder=str(tmp_path))


def test_more_than_the_folder_has_is_refused(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=VOCABULARY, hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ComponentError, match="it has 1 layers and 512 positions, got num_layers 2"):
        encoder(folder=str(tmp_path))
