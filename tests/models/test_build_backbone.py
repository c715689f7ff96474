"""Backbones from a config: img_size for those that take none, tokens kept, shapes alone; whole models with maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.analysis.meta_macs import frame_of
from bus_toolkit.config.merge import swap_type
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.model import tiny_batch, tiny_model

SCENES = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
VIT = {"embed_dims": 32, "num_layers": 2, "num_heads": 4, "feedforward_channels": 64}
HEADS: dict[str, dict[str, Any]] = {
    "itc": {"type": "ITCHead", "feature_dim": 16},
    "itm": {"type": "ITMHead"},
    "mlm": {"type": "MLMHead"},
    "prefix_lm": {"type": "PrefixLMHead"},
    "ptm": {"type": "PatchTextHead"},
    "grounding": {"type": "GroundingHead"},
}
# Two stages: a map of 4 x 4 places of 8 pixels from images of 32.
MAPS: dict[str, dict[str, Any]] = {
    "ResNet": {"depth": 18, "num_stages": 2, "strides": [1, 2], "dilations": [1, 1], "out_indices": [1]},
    "SwinTransformer": {
        "arch": {"embed_dims": 16, "depths": [1, 1], "num_heads": [1, 2]},
        "out_indices": [1],
        "window_size": 2,
    },
    "ConvNeXt": {"arch": {"depths": [1, 1], "channels": [16, 32]}, "out_indices": [1]},
}


def with_backbone(*overrides: str) -> dict[str, Any]:
    """Return the model of the tiny recipe with another backbone, through the loader and all its checks."""
    return load_config(SCENES, ["model.selectors.0.blocks=[1]", *overrides]).model.to_dict()


def resnet(*more: str) -> list[str]:
    return ["model.backbone.type=mmpretrain.ResNet", "model.backbone.depth=18", *more]


def test_paths_that_are_always_dropped_are_refused() -> None:
    node = {"type": "mmpretrain.VisionTransformer", "arch": VIT, "img_size": 32, "drop_path_rate": 1.0}
    with pytest.raises(ComponentError, match=r"model.backbone: the rate of dropped paths must be in \[0, 1\), got 1.0"):
        build_backbone(node)


def test_img_size_may_be_given_to_a_backbone_that_takes_none() -> None:
    model = with_backbone(*resnet("model.backbone.img_size=96"))
    built = build_model(model)
    assert built.backbone.grid == (3, 3) and built.heads["ptm"].patch_size == 32
    oblong = with_backbone(*resnet("model.backbone.img_size=[64,96]"))
    assert build_model(oblong).backbone.grid == (2, 3)


def test_its_value_is_checked_and_a_mistyped_one_is_reported() -> None:
    for override, message in (
        ("model.backbone.img_size=large", "model.backbone.img_size: must be a whole number or a list"),
        ("model.backbone.image_size=64", r"image_size.*[Dd]id you mean '.*img_size'"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_backbone(*resnet(override))


def test_it_survives_another_type() -> None:
    model = with_backbone()
    node = swap_type(model["backbone"], "mmpretrain.ResNet", "model.backbone", {"model": model})
    assert node == {"type": "mmpretrain.ResNet", "img_size": model["backbone"]["img_size"]}


def test_without_it_images_have_224_pixels_or_what_the_class_says() -> None:
    assert build_backbone({"type": "mmpretrain.ResNet", "depth": 18})[1].image_size == (224, 224)
    with torch.device("meta"):
        assert build_backbone({"type": "mmpretrain.SwinTransformerV2"})[1].image_size == (256, 256)


def test_a_class_that_hands_its_arguments_on_gets_it() -> None:
    node = {"type": "mmpretrain.DistilledVisionTransformer", "arch": VIT, "img_size": 32, "patch_size": 8}
    vit, adapter = build_backbone(node)
    assert adapter.image_size == vit.img_size == (32, 32)


def test_a_function_that_takes_anything_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpretrain import models

    monkeypatch.setattr(REGISTRIES.backbones, "entries", dict(REGISTRIES.backbones.entries))
    REGISTRIES.backbones.register(lambda **settings: models.VisionTransformer(arch=VIT, **settings), name="Any")
    assert build_backbone({"type": "Any", "img_size": 64})[1].image_size == (64, 64)


def test_tokens_are_kept_unless_the_config_says_otherwise() -> None:
    node = {"type": "mmpretrain.ConvNeXt", **MAPS["ConvNeXt"], "img_size": 32}
    assert build_backbone(node)[0].gap_before_final_norm is False
    with pytest.raises(ComponentError, match="gives out one vector an image"):
        build_backbone({**node, "gap_before_final_norm": True})


@pytest.mark.parametrize("name", ["ResNet", "SwinTransformer", "CSPResNet", "T2T_ViT"])
def test_shapes_alone_are_enough(name: str) -> None:
    more = {"SwinTransformer": {"window_size": 2}, "T2T_ViT": {}}.get(name, {"depth": 50})
    node = {"type": f"mmpretrain.{name}", "img_size": 64, **more}
    real = build_backbone(node)[1]
    with torch.device("meta"):
        vit, adapter = build_backbone(node)
    assert all(tensor.is_meta for tensor in vit.state_dict().values())
    sizes = [(a.embed_dim, a.num_prefix, a.image_size, a.patch_size) for a in (real, adapter)]
    assert sizes[0] == sizes[1]


def test_a_plan_counts_it_by_shapes_alone() -> None:
    frame = frame_of(with_backbone(*resnet("model.backbone.img_size=64")))
    assert (frame.image_size, frame.grid) == ((64, 64), (2, 2))


@pytest.mark.parametrize("mode", ["shared", "strict"])
@pytest.mark.parametrize("name", MAPS)
def test_a_whole_model_trains_and_says_which_patches_it_kept(name: str, mode: str) -> None:
    model = tiny_model(
        HEADS,
        backbone={"type": f"mmpretrain.{name}", "img_size": 32, **MAPS[name]},
        selectors=[{"type": "TSPS", "blocks": [1], "keep_ratio": 0.5}],
        conditioning={"mode": mode},
        momentum={"decay": 0.9},
    )
    images, samples = tiny_batch()
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01)
    before = {key: value.clone() for key, value in model.backbone.vit.named_parameters()}
    losses = model.loss(images, samples)
    assert {f"loss_{head}" for head in HEADS if head != "grounding"} <= set(losses)
    sum(value for key, value in losses.items() if "loss" in key).backward()
    optimizer.step()
    model.after_step()
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key
    moved = [key for key, parameter in model.backbone.vit.named_parameters() if not torch.equal(parameter, before[key])]
    assert len(moved) > 0.7 * len(before)  # layer scales of 1e-6 let hardly anything through to what comes after them
    with torch.no_grad():
        predicted = model.eval().predict(images, samples)
        text = model.encoders.encode_text(model.encoders.tokenize([sample.text for sample in samples]))
        visual = model.encoders.encode_visual(model.encoders.encode_shared(images), text).undecoded
    assert model.heads["ptm"].patch_size == 8
    assert all(sample.get("pred_box") is not None for sample in predicted)
    for sample in predicted:
        assert tuple(sample.patch_grid) == (4, 4)
        assert sample.kept.shape == sample.scores.shape == (16,) and int(sample.kept.sum()) == 8
    assert visual.grid == (4, 4) and visual.origin.shape == (3, 16)
    assert visual.selections[0].decision.plan.keep_indices.shape == (3, 8)


def test_a_value_that_a_class_refuses_in_its_own_way_is_reported_with_its_place() -> None:
    with pytest.raises(ComponentError, match="model.backbone: mmpretrain.ResNet refuses its arguments: .*depth 49"):
        build_backbone({"type": "mmpretrain.ResNet", "depth": 49})
