"""Weights and learning rates of our backbone in mmpretrain's configs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from mmpretrain.registry import MODELS
from torch import nn

from tests.models.openmmlab_tiny import built, images, reduced, vit

TOME = {"type": "ToMe", "blocks": [2], "num_merged": 4}
DYNAMIC = {"type": "DynamicViT", "blocks": [2]}
HEAD = {"type": "VisionTransformerClsHead", "num_classes": 3, "in_channels": 32}


def classifier(backbone: dict, **settings: object) -> nn.Module:
    return built({"type": "ImageClassifier", "backbone": backbone, "head": HEAD, **settings}, seed=5)


def test_a_checkpoint_of_a_plain_classifier_loads_as_it_is() -> None:
    plain, ours = classifier(vit()), classifier(reduced(TOME))
    assert "backbone.layers.0.ln1.weight" in plain.state_dict()
    nn.init.zeros_(ours.backbone.vit.pos_embed)
    result = ours.load_state_dict(plain.state_dict(), strict=True)
    assert not result.missing_keys
    assert torch.equal(ours.backbone.vit.pos_embed, plain.backbone.pos_embed)


@pytest.mark.parametrize("source", ["plain", "ours"])
def test_pretrained_weights_are_read_from_both_kinds_of_checkpoint(tmp_path: Path, source: str) -> None:
    model = classifier(vit() if source == "plain" else reduced(TOME))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    weights = {"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth"), "prefix": "backbone."}
    ours = MODELS.build({"_scope_": "mmpretrain", **reduced(TOME, init_cfg=weights)})
    ours.init_weights()
    vit_of = model.backbone if source == "plain" else model.backbone.vit
    assert torch.equal(ours.vit.layers[3].ffn.layers[1].weight, vit_of.layers[3].ffn.layers[1].weight)


def test_our_weights_go_back_into_a_plain_backbone(tmp_path: Path) -> None:
    torch.save({"state_dict": classifier(reduced(TOME)).state_dict()}, tmp_path / "weights.pth")
    weights = {"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth"), "prefix": "backbone.vit."}
    plain = MODELS.build({"_scope_": "mmpretrain", **vit(init_cfg=weights)})
    plain.init_weights()
    plain.eval()
    assert torch.equal(plain(images())[0], classifier(vit()).backbone(images())[0])


def test_without_weights_the_transformer_is_initialised_by_its_library() -> None:
    ours = MODELS.build({"_scope_": "mmpretrain", **reduced(TOME)})
    assert ours.vit.pos_embed.std() == 0
    ours.init_weights()
    assert 0.01 < ours.vit.pos_embed.std() < 0.03


def test_positions_of_another_image_size_are_fitted() -> None:
    ours = classifier(reduced(TOME))
    ours.load_state_dict(classifier(vit(img_size=48)).state_dict(), strict=True)
    assert ours.backbone.vit.pos_embed.shape == (1, 17, 32)


def test_frozen_stages_are_the_transformers() -> None:
    ours = MODELS.build({"_scope_": "mmpretrain", **reduced(TOME, plain=vit(frozen_stages=2))})
    assert ours.train() is ours
    frozen = {name for name, p in ours.named_parameters() if not p.requires_grad}
    plain = MODELS.build({"_scope_": "mmpretrain", **vit(frozen_stages=2)})
    assert frozen == {f"vit.{name}" for name, p in plain.named_parameters() if not p.requires_grad} != set()


def test_layers_learn_at_the_rates_of_the_plain_backbone_and_selectors_as_the_head() -> None:
    constructor = LearningRateDecayOptimWrapperConstructor(
        {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}}, {"layer_decay_rate": 0.5}
    )

    def rates(model: nn.Module) -> dict[str, float]:
        groups = constructor(model).optimizer.param_groups
        return {g["param_name"]: g["lr"] for g in groups}

    plain = rates(classifier(vit()))
    ours = rates(classifier(reduced(DYNAMIC)))
    learned = {name for name in ours if ".selectors." in name}
    assert {ours[name] for name in learned} == {ours["head.layers.head.weight"]} == {1.0}
    assert plain == {n.replace("backbone.vit.", "backbone."): r for n, r in ours.items() if n not in learned}
    assert len(set(plain.values())) == 6
