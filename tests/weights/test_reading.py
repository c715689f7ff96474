"""Files and folders, wrapped or in shards: the plain tensors come back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.folders import has_weights
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.reading import read_tensors, read_weights, trust_checkpoints

W = torch.arange(3.0)


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.fixture(autouse=True)
def distrust() -> Any:
    yield
    trust_checkpoints(False)


@pytest.mark.parametrize(
    "held",
    [
        {"w": W},
        {"state_dict": {"w": W}, "epoch": 3},
        {"model": {"w": W}, "optimizer": {"state": {}}, "config": {"image_res": 256}},
        {"module": {"module.w": W}},
        {"teacher": {"w": W}},
        {"model": {"state_dict": {"_orig_mod.w": W}}},
        {"model_ema": {"module.w": W}},
    ],
    ids=["bare", "MMEngine, timm", "ALBEF, BLIP, MAE", "DeepSpeed", "DINO", "compiled", "average"],
)
def test_wrappers_are_taken_off(tmp_path: Path, held: dict[str, Any]) -> None:
    torch.save(held, tmp_path / "a.pth")
    source = read_tensors(tmp_path / "a.pth")
    assert list(source.tensors) == ["w"] and torch.equal(source.tensors["w"], W)
    assert (source.path, source.config) == (str(tmp_path / "a.pth"), {})


def test_module_in_front_of_some_names_only_stays(tmp_path: Path) -> None:
    torch.save({"module.w": W, "v": W}, tmp_path / "a.pth")
    assert list(read_tensors(tmp_path / "a.pth").tensors) == ["module.w", "v"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_folder_gives_its_tensors_and_its_config(tmp_path: Path, name: str, inside: str) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"hidden_size": 3}')
    write(folder / name, {"w": W})
    source = read_tensors(tmp_path)
    assert torch.equal(source.tensors["w"], W) and source.config == {"hidden_size": 3}
    assert has_weights(tmp_path)


def test_what_cannot_hold_code_is_read_first(tmp_path: Path) -> None:
    save_file({"w": W}, tmp_path / "model.safetensors")
    torch.save({"w": Attack(tmp_path / "hit")}, tmp_path / "pytorch_model.bin")
    assert torch.equal(read_tensors(tmp_path).tensors["w"], W)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_shards_are_put_together(tmp_path: Path, name: str) -> None:
    stem, ending = name.rsplit(".", 1)
    shards = [f"{stem}-0000{i}-of-00002.{ending}" for i in (1, 2)]
    write(tmp_path / shards[0], {"a": W})
    write(tmp_path / shards[1], {"b": 2 * W})
    (tmp_path / f"{name}.index.json").write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}))
    assert set(read_tensors(tmp_path).tensors) == {"a", "b"}
    (tmp_path / shards[1]).unlink()
    with pytest.raises(CheckpointError, match=f"{shards[1]}: no such checkpoint"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"weight_map": {"a": "m.safetensors", "b": "m.safetensors"}}, "1 of its 2 tensors are in no shard.*: b"),
        ({"weight_map": {"a": "../m.safetensors"}}, "a shard lies beside its index, got '../m.safetensors'"),
        ({"weight_map": 3}, "weight_map must name a file for each tensor, got int"),
        ([], "must hold a JSON object, got a list"),
    ],
)
def test_a_wrong_index_is_reported(tmp_path: Path, index: Any, said: str) -> None:
    save_file({"a": W}, tmp_path / "m.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=said):
        read_tensors(tmp_path)


def test_a_broken_json_is_reported(tmp_path: Path) -> None:
    save_file({"a": W}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: not a readable JSON file"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_reported(tmp_path: Path) -> None:
    assert not has_weights(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"holds no weights\. Allowed are model\.safetensors or pytorch_model\.bin"
    ):
        read_tensors(tmp_path)


def test_a_file_without_tensors_is_reported(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="holds no tensors by name"):
        read_tensors(tmp_path / "a.pth")


def test_an_address_that_is_no_web_address_is_reported() -> None:
    with pytest.raises(
        CheckpointError, match="this kind of address is not supported. Allowed: a path, http:// or https://"
    ):
        read_tensors("s3://example/a.pth")


@pytest.mark.parametrize("place", ["a.pth", "pytorch_model.bin"])
def test_nothing_runs_unless_this_process_was_reported_to_trust(tmp_path: Path, place: str) -> None:
    torch.save({"state_dict": {"w": W}, "hook": Attack(tmp_path / "hit")}, tmp_path / place)
    path = tmp_path if place.endswith(".bin") else tmp_path / place
    with pytest.raises(CheckpointError, match=r"not loaded, because reading it could run code .*mkdir"):
        read_tensors(path)
    assert not (tmp_path / "hit").exists()
    trust_checkpoints(True)
    assert torch.equal(read_tensors(path).tensors["w"], W)
    assert (tmp_path / "hit").exists()


def test_heads_read_with_the_same_trust(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": W}, "hook": Attack(tmp_path / "hit")}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_weights(str(tmp_path / "a.pth"))
    trust_checkpoints(True)
    assert list(read_weights(str(tmp_path / "a.pth"))) == ["w"]


def write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)


def test_weights_beside_those_that_are_taken_are_said(tmp_path: Path) -> None:
    held = {"epoch": 3, "model": {"w": W}, "model_ema": {"w": W + 1}}
    torch.save(held, tmp_path / "both.pth")
    source = read_tensors(tmp_path / "both.pth")
    assert torch.equal(source.tensors["w"], W)
    assert source.notes() == ["The file holds weights under model, which were taken, and under model_ema."]
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros_like(W))
    assert load_pretrained(module, tmp_path / "both.pth", part="model.part").notes == source.notes()
