"""The tokenizer of a language model in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from bus_toolkit.errors import DataError
from bus_toolkit.structures import Vocabulary
from bus_toolkit.text_decoders import CausalLMFolder
from bus_toolkit.tokenizers import FolderTokenizer

LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def written(folder: Path, named: dict[str, Any], special: list[str], **config: Any) -> Path:
    """Write a byte-level tokenizer of single bytes, as GPT-2 and Qwen have it with merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = {entry: number for number, entry in enumerate([*special, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=entries, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_texts_are_start_words_and_end_and_come_back(tmp_path: Path) -> None:
    words = FolderTokenizer(folder=str(written(tmp_path, LLAMA, ["<unk>", "<s>", "</s>"])), max_length=8)
    ids, mask = words(["a é", "abcdefghij"])
    assert (words.cls_token_id, words.sep_token_id, words.pad_token_id, words.unk_token_id) == (1, 2, 0, 0)
    assert ids[:, 0].tolist() == [1, 1] and ids.shape == (2, 8) and mask.sum(dim=1).tolist() == [6, 8]
    assert words.decode(ids[0].tolist()) == "a é"
    assert words.decode(ids[1].tolist()) == "abcdef"  # cut
    assert Vocabulary.of(words).never_written == (0, 1)


def test_a_mark_that_somebody_wrote_is_text(tmp_path: Path) -> None:
    words = FolderTokenizer(folder=str(written(tmp_path, LLAMA, ["<unk>", "<s>", "</s>"])))
    ids = words(["</s>"]).input_ids[0].tolist()
    assert ids.count(2) == 1 and words.decode(ids) == "</s>"


def test_other_special_tokens_take_the_place_of_missing_ones(tmp_path: Path) -> None:
    # As Qwen2's: no start, and padding that ends a document.
    named = {"eos_token": {"content": "<end>"}, "pad_token": "<doc>", "bos_token": None}
    folder = written(tmp_path, named, ["<doc>", "<begin>", "<end>"], vocab_size=300)
    words = FolderTokenizer(folder=str(folder))
    assert words.convert_ids_to_tokens([words.cls_token_id, words.sep_token_id, words.pad_token_id]) == [
        "<begin>",
        "<end>",
        "<doc>",
    ]
    assert words.mask_token_id == words.pad_token_id and words.unk_token_id == -1
    assert words.vocab_size == 300  # the model has more rows than there are tokens
    assert words.survey(["a 漢"]).unknown_share == 0
    assert FolderTokenizer(folder=str(folder), start_token="<doc>", pad_token="<begin>").cls_token_id == 0


def test_it_goes_with_the_language_model_of_its_folder(tmp_path: Path) -> None:
    folder = written(tmp_path, LLAMA, ["<unk>", "<s>", "</s>"])
    config = LlamaConfig(
        vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = FolderTokenizer(folder=str(folder))
    assert CausalLMFolder(vocab_size=words.vocab_size, folder=str(folder))(words(["a b"])).shape == (1, 5, 320)


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="FolderTokenizer.folder: .*gone holds no tokenizer.json. Save the tokenizer"):
        FolderTokenizer(folder=str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"has no token for eos_token \(special tokens: <s>\)"):
        FolderTokenizer(folder=str(written(tmp_path / "one", {"bos_token": "<s>"}, ["<s>"])))
    folder = written(tmp_path / "damaged", LLAMA, ["<unk>", "<s>", "</s>"])
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match="tokenizer_config.json is not JSON"):
        FolderTokenizer(folder=str(folder))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="tokenizer.json is no tokenizer"):
        FolderTokenizer(folder=str(folder))
