"""Models with a causal language model from the dicts of a config, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.models import build_model
from tests.models.causal.tiny import LANGUAGE_MODEL, PARTS, TSPS, batch, model


def test_a_config_builds_it_and_widths_come_from_the_parts() -> None:
    built = build_model({"model": {"type": "CausalVLM", **PARTS, "projector_layers": 2, "selectors": [TSPS]}})
    assert [part.weight.shape for part in (built.projector[0], built.projector[2])] == [(16, 32), (16, 16)]
    assert built.selectors[0].embed_dim == built.selectors[0].text_dim == 16
    assert built.language_model.model.config.vocab_size == built.tokenizer.vocab_size


def test_frozen_parts_do_not_learn() -> None:
    built = model(frozen=["backbone", "language_model"], vision_selectors=[TSPS])
    learning = {name.split(".")[0] for name, one in built.named_parameters() if one.requires_grad}
    assert learning == {"projector", "backbone"}
    assert all(one.requires_grad for one in built.backbone.selectors.parameters())


def test_lora_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigError, match=r"model.lora: needs the package peft.*pip install 'bus_toolkit\[lora\]'"):
        model(lora={"rank": 2})


def test_lora_lets_added_matrices_learn_alone() -> None:
    pytest.importorskip("peft")
    built = model(lora={"rank": 2, "target_modules": ["q_proj"]}, selectors=[TSPS])
    images, samples = batch()
    torch.testing.assert_close(built.loss(images, samples), model(selectors=[TSPS]).loss(images, samples))
    built.train().loss(images, samples)["loss_answer"].backward()
    learning = [name for name, one in built.language_model.named_parameters() if one.requires_grad]
    assert len(learning) == 2 * 3 and all("lora_" in name for name in learning)
    assert all(one.grad is not None for one in built.language_model.parameters() if one.requires_grad)
    with pytest.raises(ConfigError, match="model.lora: .*nothing"):
        model(lora={"target_modules": ["nothing"]})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tasks": {}}, "model.tasks: the model needs something to learn"),
    ({"tasks": {"a": {"kind": "anwser"}}}, r"model.tasks.a.kind: must be one of .*Did you mean 'answer'"),
    ({"tasks": {"a": {"kind": "answer", "promt": "x"}}}, "model.tasks.a.*promt.*prompt"),
    ({"tasks": {"a": {"kind": "ground", "num_bins": 1}}}, "model.tasks.a: num_bins: must be at least 2"),
    ({"selectors": [{**TSPS, "blocks": [3]}]}, r"model.selectors.0.blocks: must be in 1 to 2, .* got \[3\]"),
    ({"selectors": [TSPS, TSPS]}, "model.selectors.1.blocks: block 1 already has a selector"),
    ({"selectors": [{"type": "OracleBoxes", "blocks": [1], "in_study": True}]}, "reads the boxes of the answer"),
    ({"vision_selectors": [{**TSPS, "blocks": [9]}]}, "model.vision_selectors.0.blocks: the backbone has"),
    ({"projector_layers": 3}, "model.projector_layers: must be 1 or 2, got 3"),
    ({"frozen": ["backbon"]}, "model.frozen: must name parts, .*Did you mean 'backbone'"),
    ({"writing": {"num_beams": 0}}, "model.writing: num_beams: must be at least 1, got 0"),
    ({"language_model": {**LANGUAGE_MODEL, "max_text_length": 20}}, "must have positions for 16 patches and 16 words"),
    (
        {"language_model": {"type": "BertTextDecoder", "text_dim": 16, "num_heads": 2}},
        "model.language_model: must be a causal language model",
    ),
    ({"patch_text": {}}, "model.patch_text: no selector is supervised"),
    (
        {"patch_text": {}, "selectors": [TSPS], "tasks": {"caption": {"kind": "caption"}}},
        "model.patch_text: no task's question names objects",
    ),
    ({"patch_text": {"object_weight": 0.5}, "selectors": [TSPS]}, "model.patch_text: it has one text, the question"),
    (
        {"decoder": {"type": "PAD", "num_layers": 1, "num_heads": 4, "text_in_memory": True}},
        "model.decoder: .*equally wide.*language_model.hidden_size",
    ),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_work_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(BusError, match=message):
        model(**parts)


def test_a_language_model_whose_layers_have_another_name_is_refused(tmp_path: Path) -> None:
    size = model().tokenizer.vocab_size
    GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="whose layers are its `layers`, .* got a GPT2LMHeadModel"):
        model(language_model={"type": "CausalLMFolder", "folder": str(tmp_path)})


def test_a_folder_with_too_few_positions_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=model().tokenizer.vocab_size, max_position_embeddings=20, **sizes)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="16 patches and 16 words, got 20. Use weights with more positions, or lower"):
        model(language_model={"type": "CausalLMFolder", "folder": str(tmp_path)})


def test_words_of_prompts_that_the_vocabulary_does_not_have_are_said(caplog: pytest.LogCaptureFixture) -> None:
    model(template={"turn": "frobnicate {text}"})
    assert "model.template: words are not in the vocabulary and mean nothing to the model: 'frobnicate'" in caplog.text
