"""What a user adds to a transformer counts inside blocks that a selector enters, or is said to be left out."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from bus_text_free.tome import ToMeSelector
from torch import nn
from transformers import ViTConfig, ViTModel

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.backbones.adapters.huggingface_parts import attention_parts, vit_blocks
from bus_toolkit.errors import ComponentError
from bus_toolkit.selectors import RandomSelector
from tests.backbones.adapters.vit_like import pictures
from tests.backbones.adapters.vit_likes import VIT_LIKES

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class LowRank(nn.Module):
    """A linear layer with a low-rank addition that shows the weight of the layer as its own, as adapters do."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down, self.up = nn.Linear(layer.in_features, 2), nn.Linear(2, layer.out_features)

    @property
    def weight(self) -> torch.Tensor:
        return self.layer.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return self.layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs) + self.up(self.down(inputs))


def with_low_rank(vit: nn.Module) -> int:
    """Put low-rank additions to the projections of all attentions; return how many."""
    names = [n for n, m in vit.named_modules() if isinstance(m, nn.Linear) and n.rsplit(".")[-1] in ("qkv", "query")]
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(vit.get_submodule(parent), own, LowRank(vit.get_submodule(name)))
    return len(names)


def backbone(vit: Any, *selectors: Any) -> TokenReducingBackbone:
    return TokenReducingBackbone(vit, selectors).eval()


@pytest.mark.parametrize("name", VIT_LIKES)
def test_low_rank_additions_count_in_blocks_that_a_selector_enters(name: str) -> None:
    vit = VIT_LIKES[name].fresh()
    if any(getattr(part, "q_bias", None) is not None for part in vit.modules()) or not with_low_rank(vit):
        pytest.skip("the library itself reads the weight, or projects by other layers")
    images = pictures()
    with torch.no_grad():
        whole = backbone(vit)(images).embeds
        entered = backbone(vit, ToMeSelector(blocks=[1], num_merged=0))
        torch.testing.assert_close(entered(images).embeds, whole, rtol=1e-5, atol=1e-5)
        adapter, layer = entered.adapter, entered.adapter.layers[0]
        normed = adapter.norm1(layer, torch.rand(1, 4, adapter.embed_dim))
        parts = [adapter.project_one(layer, normed, part) for part in range(3)]  # one alone, as scores ask for it
    torch.testing.assert_close(parts, list(adapter.project(layer, normed)), rtol=1e-5, atol=1e-5)


class Doubled(ViTModel):
    def forward(self, *args: Any, **settings: Any) -> Any:
        out = super().forward(*args, **settings)
        out.last_hidden_state = 2 * out.last_hidden_state
        return out


def test_a_forward_of_ones_own_that_is_not_called_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    made = backbone(Doubled(ViTConfig(**SIZES)))
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        made(IMAGES), made(IMAGES)
    (message,) = caplog.messages
    assert message.startswith(
        "model.backbone: Doubled.forward does not run: only its parts are called. What it changes"
    )


def test_hooks_on_a_block_that_runs_by_its_parts_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    vit = ViTModel(ViTConfig(**SIZES))
    for layer in vit_blocks(vit):
        layer.register_forward_hook(lambda module, args, out: out)
        attention_parts(layer).projections[0].register_forward_hook(lambda module, args, out: out)  # is called
    core = attention_parts(vit_blocks(vit)[1]).core
    core.forward = lambda states, *_: (states, None)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        backbone(vit, RandomSelector(blocks=[2], keep_ratio=0.5))(IMAGES)
        assert not caplog.messages  # every block is called
        backbone(vit, ToMeSelector(blocks=[2], num_merged=1, proportional=False))(IMAGES)
    first, second = caplog.messages
    assert first.startswith("model.backbone: a forward hook on a ViTLayer does not run: block 2 runs by its parts")
    assert second.startswith(
        f"model.backbone: the forward that was set on a {type(core).__name__} does not run: block 2"
    )


def test_a_transformer_that_was_replaced_later_is_refused() -> None:
    made, other = backbone(ViTModel(ViTConfig(**SIZES))), ViTModel(ViTConfig(**SIZES))
    owner, name = (made.vit, "layers") if hasattr(made.vit, "layers") else (made.vit.encoder, "layer")
    setattr(owner, name, getattr(owner, name)[:2])
    with pytest.raises(ComponentError, match=r"^backbone.vit: another module or other blocks .* ViTModel of 3 blocks"):
        made(IMAGES)
    made = backbone(ViTModel(ViTConfig(**SIZES)))
    made.vit = other
    with pytest.raises(ComponentError, match=r"Make a new TokenReducingBackbone"):
        made(IMAGES)
