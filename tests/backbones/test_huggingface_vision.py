"""HuggingFaceVision: folders in the library's own format give the library's own outputs; mistakes are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.huggingface_vision import huggingface_vision
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.backbones import check_backbone
from tests.backbones.adapters.huggingface_kinds import tower
from tests.backbones.adapters.vit_like import pictures

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
EVERY_CLASS = ("ViTModel", "CLIPVisionModel", "SiglipVisionModel", "Dinov2Model", "Dinov2WithRegistersModel")
every_class = pytest.mark.parametrize("cls", EVERY_CLASS)


def build(**settings: Any) -> Any:
    return REGISTRIES.backbones.build({"type": "HuggingFaceVision", **settings}, path="model.backbone")


@every_class
@pytest.mark.parametrize("safe", [True, False])
def test_a_saved_folder_gives_what_the_library_gives(cls: str, safe: bool, tmp_path: Path) -> None:
    source = tower(cls).eval()
    source.save_pretrained(tmp_path)
    if not safe:
        write_bin(tmp_path, source.state_dict())
    vit, images = build(model=cls, folder=str(tmp_path)), pictures()
    assert vit.training and vit.config._attn_implementation == "sdpa"
    visual = TokenReducingBackbone(vit).eval()(images)
    wanted = source(images)
    pools = cls in ("CLIPVisionModel", "SiglipVisionModel")
    assert torch.equal(visual.embeds[:, pools:], wanted.last_hidden_state)
    if cls != "ViTModel":  # whose pooler is a classifier's
        assert torch.equal(visual.cls, wanted.pooler_output)


@pytest.mark.parametrize(("whole", "part"), [("CLIP", "CLIPVisionModel"), ("Siglip", "SiglipVisionModel")])
def test_a_folder_of_both_towers_gives_the_vision_tower(whole: str, part: str, tmp_path: Path) -> None:
    import transformers

    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, f"{whole}Config")(
        text_config={**text, "vocab_size": 50}, vision_config={**SMALL, "intermediate_size": 64}
    )
    source = getattr(transformers, f"{whole}Model")(config).eval()
    source.save_pretrained(tmp_path)
    backbone = TokenReducingBackbone(build(model=part, folder=str(tmp_path))).eval()
    wanted = source.vision_model(pictures())
    torch.testing.assert_close(backbone(pictures()).cls, wanted.pooler_output, rtol=1e-5, atol=1e-5)
    assert not any("text" in name for name in backbone.state_dict())


@every_class
def test_the_runners_init_weights_keeps_what_was_loaded(cls: str, tmp_path: Path) -> None:
    tower(cls).save_pretrained(tmp_path)
    vit = build(model=cls, folder=str(tmp_path))
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    vit.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())


@every_class
def test_keeps_the_promises_of_a_backbone(cls: str) -> None:
    check_backbone("HuggingFaceVision", model=cls, config=SMALL)


def test_another_size_of_images_is_taken_with_the_same_weights() -> None:
    plain, large = (
        build(model="CLIPVisionModel", config=SMALL),
        build(model="CLIPVisionModel", config=SMALL, img_size=[64, 32]),
    )
    assert TokenReducingBackbone(plain).image_size == (32, 32)
    backbone = TokenReducingBackbone(large).eval()
    assert backbone.image_size == (64, 32) and backbone.grid == (8, 4)
    backbone.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 32)
    wanted = plain.eval()(images, interpolate_pos_encoding=True).last_hidden_state
    assert torch.equal(backbone(images).embeds[:, 1:], wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "ViTModle", "config": {}}, r"model.backbone.model: no vision tower 'ViTModle'.*mean 'ViTModel'"),
        ({"model": "BertModel", "config": {}}, r"no vision tower 'BertModel' is known.* Use one of ViTModel"),
        ({"model": "ViTModel"}, "needs either folder or config, got neither"),
        ({"model": "ViTModel", "config": {}, "folder": "x"}, "needs either folder or config, got both"),
        ({"model": "ViTModel", "folder": "/nowhere"}, r"folder: it must hold a config.json, got '/nowhere'"),
        ({"model": "ViTModel", "config": {"hiden_size": 8}}, r"model.backbone.config.*'hiden_size'.*'hidden_size'"),
        (
            {"model": "ViTModel", "config": {**SMALL, "hidden_size": 30}},
            "multiple of num_attention_heads, got 30 and 4",
        ),
    ],
)
def test_settings_that_cannot_work_are_reported(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        build(**settings)


def test_weights_that_do_not_make_up_the_tower_are_refused(tmp_path: Path) -> None:
    tower("CLIPVisionModel").save_pretrained(tmp_path / "clip")
    with pytest.raises(
        CheckpointError, match=r"\d+ tensors of a ViTModel are missing in its weights, got none for .*Name the class"
    ):
        build(model="ViTModel", folder=str(tmp_path / "clip"))
    tower("ViTModel").save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"ViTModel cannot be read from .*It must hold weights"):
        build(model="ViTModel", folder=str(tmp_path / "vit"))


def test_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    tower("ViTModel").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(CheckpointError, match="ViTModel cannot be read from"):
        build(model="ViTModel", folder=str(tmp_path))


def test_a_bin_that_would_run_code_is_refused(tmp_path: Path) -> None:
    tower("ViTModel").save_pretrained(tmp_path)
    write_bin(tmp_path, {"weights": Trap(tmp_path / "ran")})
    with pytest.raises(CheckpointError, match="ViTModel cannot be read from"):
        build(model="ViTModel", folder=str(tmp_path))
    assert not (tmp_path / "ran").exists()


def write_bin(folder: Path, weights: dict[str, Any]) -> None:
    """Put torch's file in the place of the safetensors; transformers 5 writes none of these itself."""
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(("model", "img_size"), [("ViTModel", 64), ("Dinov2Model", None)])
def test_positions_that_transformers_would_read_as_a_squares_are_refused(model: str, img_size: int | None) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
    vit = huggingface_vision(model=model, config={**sizes, "image_size": (32, 128)}, img_size=img_size)
    message = rf"of a {model} as those of a square image, got config.image_size \(32, 128\)\. Give it a square"
    with pytest.raises(ComponentError, match=message):
        adapter_of(vit)
