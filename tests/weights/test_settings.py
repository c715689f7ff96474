"""Weights that a config names: they come in when a training starts, and only then."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from bus_toolkit import build_model
from bus_toolkit.backbones.adapters.huggingface_parts import attention_parts, vit_blocks
from bus_toolkit.config.check import check_config
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.weights.settings import Pretrained, check_files, take_pretrained
from tests.models.test_build import CONFIG
from tests.weights.sources import randomised

VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.fixture
def vit(tmp_path: Path) -> tuple[str, Any]:
    """Return a folder of vision weights for ``CONFIG``, and the model that was saved there."""
    source = randomised(hf.ViTModel(hf.ViTConfig(**VIT, image_size=32, patch_size=8), add_pooling_layer=False))
    source.save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit"), source


def changed(**parts: Any) -> dict[str, Any]:
    """Return ``CONFIG`` with further keys: ``backbone={...}`` goes into that part, a text is a key of the model."""
    config = copy.deepcopy(CONFIG)
    for name, value in parts.items():
        if isinstance(value, dict) and name in config:
            config[name] |= value
        else:
            config[name] = value
    return config


def has(model: Any, source: Any) -> bool:
    own = model.backbone.vit.layers[1].attn.proj.weight
    return torch.equal(own, attention_parts(vit_blocks(source)[1]).output.weight)


@pytest.mark.parametrize("form", ["path", "mapping", "init_cfg", "list of init_cfg"])
def test_a_backbone_gets_its_weights_when_the_training_starts(
    vit: tuple[str, Any], form: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, source = vit
    init = {"type": "Pretrained", "checkpoint": folder}
    node: dict[str, Any] = {
        "path": {"pretrained": folder},
        "mapping": {"pretrained": {"checkpoint": folder, "layout": "hf-vit"}},
        "init_cfg": {"init_cfg": init},
        "list of init_cfg": {"init_cfg": [{"type": "Constant", "val": 0.5, "layer": "Conv2d"}, init]},
    }[form]
    model = build_model(changed(backbone=node))
    assert not has(model, source)
    with caplog.at_level(logging.INFO, logger="bus_toolkit"):
        model.init_weights()
    assert has(model, source)
    assert f"model.backbone.pretrained: {len(source.state_dict()) - 12} tensors from {folder}" in caplog.text


def test_a_classifiers_weights_come_by_their_prefix(tmp_path: Path) -> None:
    source = randomised(build_model(CONFIG).backbone.vit)
    tensors = {f"backbone.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"state_dict": {**tensors, "head.fc.bias": torch.ones(3)}}, tmp_path / "a.pth")
    init = {"type": "Pretrained", "checkpoint": str(tmp_path / "a.pth"), "prefix": "backbone."}
    model = build_model(changed(backbone={"init_cfg": init}))
    model.init_weights()
    assert torch.equal(model.backbone.vit.layers[2].ln1.weight, source.layers[2].ln1.weight)


def test_momentum_copies_start_from_the_weights_that_came_in(vit: tuple[str, Any]) -> None:
    folder, _ = vit
    model = build_model(changed(backbone={"pretrained": folder}, momentum={}))
    model.init_weights()
    own, copied = model.backbone.state_dict(), model.momentum.copies["backbone"].state_dict()
    assert all(torch.equal(own[name], copied[name]) for name in copied)


def test_texts_and_whole_models_get_theirs_and_a_part_wins(tmp_path: Path, vit: tuple[str, Any]) -> None:
    folder, source = vit
    first = randomised(build_model(CONFIG), seed=4)
    torch.save(first.state_dict(), tmp_path / "whole.pth")
    second = randomised(build_model(CONFIG).text_encoder, seed=5)
    torch.save(second.state_dict(), tmp_path / "text.pth")
    model = build_model(
        changed(
            pretrained={"checkpoint": str(tmp_path / "whole.pth"), "layout": "identity"},
            text_encoder={"pretrained": str(tmp_path / "text.pth")},
            backbone={"pretrained": folder},
            momentum={},
        )
    )
    model.init_weights()
    assert has(model, source)
    assert torch.equal(model.text_encoder.bert.embeddings.LayerNorm.bias, second.bert.embeddings.LayerNorm.bias)
    assert torch.equal(model.fusion.layers[0].norm1.weight, first.fusion.layers[0].norm1.weight)


def test_wrong_weights_stop_the_start_with_the_place(vit: tuple[str, Any]) -> None:
    folder, _ = vit
    model = build_model(changed(text_encoder={"pretrained": folder}))
    with pytest.raises(CheckpointError, match=r"^model\.text_encoder\.pretrained: nothing of .*vit is recognised"):
        model.init_weights()


def test_a_class_that_takes_the_key_itself_keeps_it() -> None:
    node = {"type": "Tower", "pretrained": True}
    assert take_pretrained(node, {"pretrained": None}) == (node, None)
    assert take_pretrained({"type": "Tower", "pretrained": "x"}, {}) == ({"type": "Tower"}, Pretrained("x"))
    assert take_pretrained({"type": "Tower", "pretrained": None}, {}) == ({"type": "Tower"}, None)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"backbone": {"pretrained": 3}}, "model.backbone.pretrained: must be text or a mapping or null, got 3."),
        ({"pretrained": ["a"]}, "model.pretrained: must be text or a mapping or null, got ['a']."),
        (
            {"backbone": {"pretrained": {"checkpont": "a"}}},
            "model.backbone.pretrained.checkpont: pretrained has no argument 'checkpont'. Did you mean 'checkpoint'?",
        ),
        (
            {"text_encoder": {"pretrained": {"layout": "hf-bert"}}},
            "model.text_encoder.pretrained.checkpoint: pretrained needs this argument, got nothing.",
        ),
        (
            {"pretrained": {"checkpoint": "a", "layout": "albf"}},
            "model.pretrained.layout: no layout named 'albf'. Did you mean 'albef'? Known: auto, identity, albef,",
        ),
        ({"decoder": {"pretrained": "a"}}, "model.decoder.pretrained: PAD has no argument 'pretrained'."),
    ],
)
def test_the_config_is_checked(parts: dict[str, Any], said: str) -> None:
    problems = [str(problem) for problem in check_config({"model": changed(**parts)})]
    assert any(problem.startswith(said) for problem in problems), problems


@pytest.mark.parametrize("value", ["a.pth", {"checkpoint": "a.pth", "layout": "timm-vit", "prefix": "x."}, None])
def test_a_config_with_weights_passes_whether_or_not_they_are_there(value: Any) -> None:
    parts = {name: {"pretrained": value} for name in ("backbone", "text_encoder")}
    assert check_config({"model": changed(**parts, pretrained=value)}) == []


def test_missing_files_are_reported_at_once_before_a_training_starts(tmp_path: Path, vit: tuple[str, Any]) -> None:
    (tmp_path / "empty").mkdir()
    init = {"type": "Pretrained", "checkpoint": "gone.pth"}
    wanted = changed(
        pretrained=str(tmp_path / "empty"), backbone={"init_cfg": init}, text_encoder={"pretrained": vit[0]}
    )
    with pytest.raises(ConfigError) as caught:
        check_files(wanted)
    assert str(caught.value).splitlines() == [
        f"model.pretrained: {tmp_path / 'empty'} holds no weights. Give a file, or a folder in Hugging Face's layout.",
        "model.backbone.pretrained: gone.pth is not there. Give a file, or a folder in Hugging Face's layout.",
    ]
    check_files(changed(backbone={"pretrained": vit[0]}))
    check_files(CONFIG)
