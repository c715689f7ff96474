"""Models of other parts than the toy's: words of a language model's folder, a selector of a plugin."""

from __future__ import annotations

import shutil

import pytest

import bus_toolkit
from bus_toolkit import Inferencer
from bus_toolkit.errors import CheckpointError
from bus_toolkit.pretrained.layout import read_index
from bus_toolkit.pretrained.predicting import _refuse_elsewhere
from tests.inference.toy import TEXTS, run_config, write_run
from tests.tokenizers.test_folder import LLAMA, written


def test_words_of_a_folder_go_along(pictures, tmp_path):
    words = written(tmp_path / "words", LLAMA, ["<unk>", "<s>", "</s>"])
    config = run_config(tmp_path / "scenes", itc={"type": "ITCHead", "feature_dim": 16}, itm={"type": "ITMHead"})
    config["model"]["tokenizer"] = {"type": "FolderTokenizer", "folder": str(words), "max_length": 16}
    del config["model"]["text_decoder"]
    trained = Inferencer(write_run(tmp_path / "run", config), device="cpu")
    wanted = trained.retrieve(pictures, TEXTS, rerank=2)
    saved = trained.save_pretrained(tmp_path / "saved")
    shutil.rmtree(words)
    assert bus_toolkit.from_pretrained(saved, device="cpu").retrieve(pictures, TEXTS, rerank=2) == wanted


def test_a_selector_of_a_plugin_goes_along_by_its_name(pictures, tmp_path):
    pytest.importorskip("bus_text_free", reason="the plugin bus_text_free is not installed")
    config = run_config(tmp_path / "scenes", itc={"type": "ITCHead", "feature_dim": 16})
    config["model"]["selectors"] = [{"type": "EViT", "blocks": [1, 2], "keep_ratio": 0.5}]
    for part in ("decoder", "fusion", "text_decoder"):
        del config["model"][part]
    trained = Inferencer(write_run(tmp_path / "run", config), device="cpu")
    wanted = trained.retrieve(pictures, TEXTS)
    saved = trained.save_pretrained(tmp_path / "saved")
    assert list(read_index(saved).plugins) == ["bus_text_free"]
    assert bus_toolkit.from_pretrained(saved, device="cpu").retrieve(pictures, TEXTS) == wanted


def test_a_file_that_is_named_by_its_place_on_this_machine_is_elsewhere(tmp_path):
    (tmp_path / "words.txt").write_text("a\n")
    config = {"model": {"tokenizer": {"vocab_file": str(tmp_path / "words.txt")}}}
    with pytest.raises(CheckpointError, match=r"files elsewhere, which a saved model cannot hold: model\.tokenizer"):
        _refuse_elsewhere(config, tmp_path)
    config["model"]["tokenizer"]["vocab_file"] = "words.txt"
    _refuse_elsewhere(config, tmp_path)
