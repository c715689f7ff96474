"""Whole models around other libraries' towers train with every family of selectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.model import tiny_batch, tiny_model

_SMALL = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
_TIMM = {"embed_dim": 32, "depth": 4, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8}
TOWERS = {
    **{
        name: {"type": "HuggingFaceVision", "model": name, "config": _SMALL}
        for name in ("ViTModel", "CLIPVisionModel", "SiglipVisionModel", "Dinov2Model", "Dinov2WithRegistersModel")
    },
    **{
        name: {"type": "TimmVision", "model": name, "settings": _TIMM, "img_size": 32}
        for name in ("vit_base_patch16_224", "vit_base_patch16_siglip_256", "eva02_base_patch14_224")
    },
}
WITHOUT_CLASS_TOKEN = ("SiglipVisionModel", "vit_base_patch16_siglip_256")
SELECTORS: dict[str, dict[str, Any]] = {
    "TSPS": {"keep_ratio": 0.5},
    "ToMe": {"keep_ratio": 0.75},
    "EViT": {"keep_ratio": 0.5},
    "TRIPS": {"keep_ratio": 0.5},
    "ELIP": {"keep_ratio": 0.5},
}
HEADS = {"itc": {"type": "ITCHead", "feature_dim": 16}, "itm": {"type": "ITMHead"}, "mlm": {"type": "MLMHead"}}


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("tower", TOWERS)
def test_a_step_is_trained(tower: str, name: str) -> None:
    if name not in REGISTRIES.selectors.names():
        pytest.skip(f"the plugin that brings {name} is not installed")
    if TOWERS[tower]["type"] == "TimmVision":
        pytest.importorskip("timm")
    selector = {"type": name, "blocks": [2], **SELECTORS[name]}
    parts = {"backbone": TOWERS[tower], "selectors": [selector], "momentum": {"decay": 0.9}}
    if name == "ELIP" and tower in WITHOUT_CLASS_TOKEN:
        with pytest.raises(ConfigError, match=r"selectors.0: LookAheadSelector looks ahead .*, got .*, which has none"):
            tiny_model(HEADS, **parts)
        return
    model = tiny_model(HEADS, **parts)
    model.train()
    images, samples = tiny_batch()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = model.loss(images, samples)
    torch.stack([value for key, value in losses.items() if "loss" in key]).sum().backward()
    unused = [key for key, p in model.backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []
    before = {key: value.clone() for key, value in model.backbone.vit.named_parameters()}
    optimizer.step()
    moved = [key for key, value in model.backbone.vit.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > len(before) // 2
    assert all(torch.isfinite(value).all() for value in model.parameters())
    [count] = model.token_counts.values()
    assert count.tokens["block 2"] < 16 + model.backbone.num_prefix + 1
