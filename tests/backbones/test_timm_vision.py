"""TimmVision: timm's checkpoints give timm's outputs; nothing is downloaded; mistakes are reported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.backbones import check_backbone
from tests.backbones.adapters.vit_like import pictures

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8}
# A class token; attention that pools; rotary positions, an average beside a class token; the same with registers.
MODELS = ("vit_base_patch16_224", "vit_base_patch16_siglip_256", "eva02_base_patch14_224", "vit_small_patch16_dinov3")


def build(model: str = MODELS[0], **settings: Any) -> Any:
    node = {"type": "TimmVision", "model": model, "settings": TINY, "img_size": 32, **settings}
    return REGISTRIES.backbones.build(node, path="model.backbone")


def source(model: str = MODELS[0], **settings: Any) -> Any:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    return timm.create_model(model, **{**TINY, "img_size": 32, **settings}).eval()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_checkpoint_with_its_classifier_gives_what_timm_gives(model: str, suffix: str, tmp_path: Path) -> None:
    classifier, path, images = source(model, num_classes=7), tmp_path / f"weights{suffix}", pictures()
    if suffix == ".pth":
        torch.save({"state_dict": classifier.state_dict()}, path)
    else:
        save_file(classifier.state_dict(), path)
    vit = build(model, checkpoint=str(path))
    backbone = TokenReducingBackbone(vit).eval()
    visual, wanted = backbone(images), classifier.forward_features(images)
    assert torch.equal(visual.embeds[:, backbone.adapter.pools :], wanted)
    assert torch.equal(visual.cls, classifier.forward_head(wanted, pre_logits=True))


def test_the_runners_init_weights_keeps_what_was_loaded(tmp_path: Path) -> None:
    save_file(source().state_dict(), tmp_path / "weights.safetensors")
    vit = build(checkpoint=str(tmp_path / "weights.safetensors"))
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    vit.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())


@pytest.mark.parametrize("model", MODELS)
def test_keeps_the_promises_of_a_backbone(model: str) -> None:
    pytest.importorskip("timm")
    check_backbone("TimmVision", model=model, settings=TINY)


def test_a_checkpoint_of_another_size_is_interpolated_as_timm_does(tmp_path: Path) -> None:
    small = source()
    save_file(small.state_dict(), tmp_path / "weights.safetensors")
    large = TokenReducingBackbone(build(img_size=64, checkpoint=str(tmp_path / "weights.safetensors"))).eval()
    small.set_input_size((64, 64))
    images = torch.randn(1, 3, 64, 64)
    assert large.image_size == (64, 64)
    assert torch.equal(large(images).embeds, small.forward_features(images))


def test_drop_path_grows_with_depth() -> None:
    pytest.importorskip("timm")
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in build(drop_path_rate=0.2).blocks]
    assert rates == pytest.approx([0.0, 0.2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "vit_bse_patch16_224"}, r"model.backbone.model: timm has no model 'vit_bse_patch16_224'.*Did you"),
        ({"model": "hf-hub:timm/vit_base_patch16_224"}, "timm has no model 'hf-hub:timm/vit_base_patch16_224'"),
        ({"settings": {"pretrained": True, "checkpoint_path": "x"}}, "downloads nothing, got checkpoint_path, pretrai"),
        ({"settings": {"dpeth": 2}}, "model.backbone.settings: timm does not build vit_.*'dpeth'"),
        ({"model": "beit_base_patch16_224"}, "timm's classes but VisionTransformer, Eva, got Beit"),
    ],
)
def test_settings_that_cannot_work_are_reported(settings: dict[str, Any], message: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ComponentError, match=message):
        build(**settings)


def test_checkpoints_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    path = tmp_path / "weights.pth"
    with pytest.raises(CheckpointError, match=r"model.backbone.checkpoint: no such file, got .*weights.pth"):
        build(checkpoint=str(path))
    torch.save({"pos_embed": torch.zeros(1, 17, 32)}, path)
    with pytest.raises(CheckpointError, match=r"\d+ of \d+ tensors are missing, got none for blocks"):
        build(checkpoint=str(path))
    torch.save(source(embed_dim=64).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"not weights that fit this model, got .*Error"):
        build(checkpoint=str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="not weights that fit this model"):
        build(checkpoint=str(path))


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ComponentError, match=r"TimmVision needs timm.*pip install 'bus_toolkit\[timm\]'"):
        build()
