"""Files converted from one library's names to another's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from mmpretrain.models.utils import resize_pos_embed
from safetensors.torch import load_file, save_file

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.weights.converting import convert, tower_layouts, write_whole
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.tower_names import in_names_of
from tests.weights.sources import BERT, HF, images, randomised, saved, vit

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def test_a_tower_of_ours_becomes_one_of_transformers(tmp_path: Path) -> None:
    source = vit(norm_cfg={"type": "LN", "eps": 1e-12})
    file = saved({f"backbone.vit.{n}": t for n, t in source.state_dict().items()}, tmp_path / "epoch_1.pth")
    tensors, report = convert(file, "hf-vit")
    model = hf.ViTModel(hf.ViTConfig(**HF), add_pooling_layer=False).eval()
    model.load_state_dict(in_names_of(tensors, model.state_dict()))
    torch.testing.assert_close(model(images()).last_hidden_state, source(images())[0], **CLOSE)
    assert report.layout == "mmpretrain-vit"


def test_clip_of_transformers_becomes_that_of_openai_and_comes_back(tmp_path: Path) -> None:
    source = randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)))
    source.save_pretrained(tmp_path)
    there, _ = convert(tmp_path, "openai-clip")
    assert "visual.transformer.resblocks.1.mlp.c_proj.bias" in there
    save_file(there, tmp_path / "openai.safetensors")
    back, _ = convert(tmp_path / "openai.safetensors", "hf-clip")
    own = in_names_of(source.state_dict())
    assert set(back) == set(own) and all(torch.equal(back[name], own[name]) for name in own)


def test_a_text_encoder_of_a_training_becomes_a_bert(tmp_path: Path) -> None:
    source = randomised(hf.BertModel(hf.BertConfig(**BERT), add_pooling_layer=False))
    file = saved({f"text_encoder.bert.{n}": t for n, t in source.state_dict().items()}, tmp_path / "epoch_1.pth")
    tensors, _ = convert(file, "hf-bert", prefix="text_encoder.")
    bare = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    assert set(bare) == set(source.state_dict())


@pytest.mark.parametrize("to", ["mmpretrain", "mmpretrain-vit"])
def test_mmpretrain_is_whichever_of_its_classes_it_is(tmp_path: Path, to: str) -> None:
    hf.ViTModel(hf.ViTConfig(**HF)).save_pretrained(tmp_path)
    tensors, report = convert(tmp_path, to)
    vit().load_state_dict(tensors)
    assert report.unexpected == ["pooler.dense.bias", "pooler.dense.weight"]


def test_a_layout_without_a_name_for_something_is_refused(tmp_path: Path) -> None:
    hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)).save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"the layout hf-vit has no name for pre_norm\.\w+, .*Choose another with"
    ):
        convert(tmp_path, "hf-vit")


def test_another_kind_of_tower_is_refused(tmp_path: Path) -> None:
    hf.BertModel(hf.BertConfig(**BERT)).save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"has none of the layouts .*hf-vit.*; its names begin with embeddings, enc"
    ):
        convert(tmp_path, "timm-vit")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to": "hf-vti"}, r"--to: no layout named 'hf-vti'\. Did you mean 'hf-vit'\? Known: mmpretrain, "),
        ({"to": "albef"}, "--to: no layout named 'albef'"),
        ({"to": "hf-vit", "source": "timm"}, "--from: no layout named 'timm'"),
    ],
)
def test_an_unknown_layout_is_reported(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        convert(tmp_path, **settings)
    assert "albef" not in tower_layouts()


def test_names_of_two_layouts_ask_for_one(tmp_path: Path) -> None:
    names = ["patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.q_bias"]
    names += ["blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"]
    file = saved({name: torch.ones(4) for name in names}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"names of several layouts, timm-beit, timm-eva02-small.*--from"):
        convert(file, "mmpretrain")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "a.safetensors"
    write_whole({"w": torch.ones(2)}, out)
    assert torch.equal(load_file(out)["w"], torch.ones(2))

    def stop(tensors: object, name: str, metadata: object = None) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bus_toolkit.weights.converting.save_file", stop)
    with pytest.raises(ConfigError, match=r"--out: cannot write .*No space left on device"):
        write_whole({"w": torch.zeros(2)}, out)
    assert torch.equal(load_file(out)["w"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_place_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out: cannot write"):
        write_whole({"w": torch.ones(1)}, tmp_path / "file" / "a.safetensors")


def test_the_grid_of_the_positions_goes_with_them(tmp_path: Path) -> None:
    source = TokenReducingBackbone(vit(img_size=(32, 128)))
    torch.save(source.state_dict(), tmp_path / "run.pth")
    tensors, report = convert(tmp_path / "run.pth", "timm-vit")
    assert report.grid == (4, 16)
    write_whole(tensors, tmp_path / "out.safetensors", report.grid)
    module = vit(img_size=64)
    load_pretrained(module, tmp_path / "out.safetensors", part="model.backbone")
    expected = resize_pos_embed(source.vit.pos_embed, (4, 16), (8, 8), "bicubic", 1)
    assert torch.equal(module.pos_embed, expected)
