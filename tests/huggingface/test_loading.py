"""Models come from folders or configs, and nothing is left random unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.huggingface.loading import load_model
from tests.huggingface.tiny import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llava")
    build("llava").model.save_pretrained(path)
    return path


def test_weights_of_a_folder_are_loaded(folder: Path) -> None:
    expected, model = build("llava").model, load_model(folder=str(folder))
    assert not model.training
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_its_config_alone_gives_random_weights_of_the_type_that_is_asked_for(folder: Path) -> None:
    model = load_model(folder=str(folder), random_weights=True, dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    given = build("llava").model.lm_head.weight
    assert model.lm_head.weight.shape == given.shape and not torch.equal(model.lm_head.weight.float(), given)


def test_a_config_makes_a_model(folder: Path) -> None:
    values = build("llava").model.config.to_dict()
    assert type(load_model(config=values)).__name__ == "LlavaForConditionalGeneration"


def test_a_folder_without_some_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(next(name for name in tensors if "lm_head" in name))
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="1 tensors of a LlavaForConditionalGeneration are not in"):
        load_model(folder=str(tmp_path))


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of folder and config must be given, got none"):
        load_model()
    with pytest.raises(ConfigError, match="one of folder and config must be given, got both"):
        load_model(folder="x", config={})
    with pytest.raises(ConfigError, match="model.config: makes no config of transformers"):
        load_model(config={"model_type": "qwen9"})
    with pytest.raises(ConfigError, match="must be a vision-language model of transformers, got model_type 'bert'"):
        load_model(config={"model_type": "bert"})
    with pytest.raises(CheckpointError, match="model.folder: must hold a config.json"):
        load_model(folder=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="Save the model again"):
        load_model(folder=str(tmp_path))
