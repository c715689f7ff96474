"""Blocks that run again in the backward pass: same results and gradients, fewer activations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.backbones.block_passes import RECOMPUTED
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from tests.backbones.adapters.test_vit_likes import _ByAttention, selector
from tests.backbones.adapters.vit_like import pictures
from tests.backbones.adapters.vit_likes import VIT_LIKES


def run(name: str, site: str, *, recompute: bool) -> tuple[Tensor, dict[str, Tensor], int]:
    """Return tokens, gradients, and how many times the last block's first feed-forward layer ran."""
    backbone = TokenReducingBackbone(VIT_LIKES[name].fresh(), [selector(_ByAttention, site, block=2, keep_ratio=0.5)])
    backbone.train()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    layer = backbone.adapter.layers[1]
    linears = [m for m in layer.modules() if isinstance(m, nn.Linear)]
    linears[-2].register_forward_hook(count)
    if recompute:
        setattr(layer, RECOMPUTED, True)
    tokens = backbone(pictures()).embeds
    tokens.square().mean().backward()
    return tokens.detach(), {n: p.grad for n, p in backbone.named_parameters() if p.grad is not None}, calls


@pytest.mark.parametrize("name", ["ViT", "BEiT", "EVA-02"])
def test_a_block_with_a_selector_inside_runs_again_and_gives_the_same(name: str) -> None:
    plain, gradients, once = run(name, "inside_block", recompute=False)
    again, recomputed, twice = run(name, "inside_block", recompute=True)
    assert (once, twice) == (1, 2)
    assert torch.equal(plain, again)
    assert gradients.keys() == recomputed.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(recomputed[key], gradient, msg=key)
