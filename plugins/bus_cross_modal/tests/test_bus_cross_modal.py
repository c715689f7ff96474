"""What the plugin registers, and that whole models train with it."""

from __future__ import annotations

import pytest
import torch
from bus_cross_modal import register_components

from bus_toolkit.registry import new_registries
from bus_toolkit.testing import tiny_batch, tiny_model


def test_registers_the_fusion_the_selectors_and_the_head() -> None:
    registries = new_registries()
    register_components(registries)
    assert registries.fusions.names() == ["PuMer"]
    assert registries.selectors.names() == ["CrossGET", "MADTP", "PuMer"]
    assert registries.heads.names() == ["GuidanceHead"]


@pytest.mark.parametrize(("selector", "loss"), [("CrossGET", "kl"), ("MADTP", "cosine")])
def test_a_model_of_these_parts_trains_on_all_losses(selector: str, loss: str) -> None:
    """The masked and the prefix language model get a text of the original length after PuMer."""
    heads = {
        "itc": {"type": "ITCHead", "feature_dim": 16},
        "itm": {"type": "ITMHead"},
        "mlm": {"type": "MLMHead"},
        "prefix_lm": {"type": "PrefixLMHead"},
        "guidance": {"type": "GuidanceHead", "loss": loss},
    }
    model = tiny_model(
        heads,
        selectors=[{"type": selector, "blocks": [1, 3], "keep_ratio": 0.6}],
        decoder={"type": "Identity"},
        fusion={"type": "PuMer", "num_layers": 3, "num_heads": 4, "prune_ratio": 0.3, "merge_ratio": 0.3},
    )
    model.train()
    losses = model.loss(*tiny_batch())
    assert {name for name in losses if "loss" in name} == {f"loss_{name}" for name in heads}
    torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    tokens = next(model.backbone.selectors.parameters())
    assert tokens.grad is not None and (tokens.grad.abs().sum(dim=1) > 0).all()
