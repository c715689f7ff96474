"""T2T-ViT: unreduced, mmpretrain's own pass; reduced, as if the dropped patches were hidden."""

from __future__ import annotations

import pytest
import torch
from mmpretrain import models
from torch import Tensor, nn

from bus_toolkit.backbones.block_passes import attention_half
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from tests.backbones.adapters.vit_like import pictures

SIDE = 64  # patches are 16 pixels apart, whatever the settings
SITES: tuple[Site, ...] = ("before_block", "inside_block", "after_block")


class _EveryOther(PatchSelector):
    def score(self, view: BlockView) -> Tensor:
        return torch.arange(view.patches.shape[1]).remainder(2).expand(view.patches.shape[0], -1).float()


def t2t(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    layers = {"num_heads": 4, "feedforward_channels": 64}
    sizes = {"img_size": SIDE, "embed_dims": 32, "num_layers": 3, "t2t_cfg": {"token_dims": 16}, "layer_cfgs": layers}
    vit = models.T2T_ViT(**{**sizes, "out_type": "raw", **settings})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + 0.1)
    vit.eval()
    return vit


def selector(site: Site, keep_ratio: float) -> PatchSelector:
    return type(f"EveryOther_{site}", (_EveryOther,), {"site": site})(blocks=[2], keep_ratio=keep_ratio)


@pytest.mark.parametrize("settings", [{}, {"final_norm": False}, {"with_cls_token": False}])
@pytest.mark.parametrize("site", SITES)
def test_keeping_all_patches_is_the_librarys_own_pass_bit_for_bit(site: Site, settings: dict[str, bool]) -> None:
    vit, images = t2t(**settings), pictures(side=SIDE)
    for selectors in ([], [selector(site, 1.0)]):
        backbone = TokenReducingBackbone(vit, selectors)
        visual = backbone(images)
        assert torch.equal(visual.embeds[:, visual.num_prefix - backbone.num_prefix :], vit(images)[0])
        assert visual.grid == backbone.grid == (4, 4)


@pytest.mark.parametrize("site", SITES)
def test_kept_patches_are_what_they_are_where_the_others_are_hidden(site: Site) -> None:
    backbone, images = TokenReducingBackbone(t2t(), [selector(site, 0.5)]), pictures(side=SIDE)
    adapter = backbone.adapter
    tokens, grid = adapter.embed(images)
    hidden = torch.zeros(2, tokens.shape[1])
    hidden[:, 1::2] = float("-inf")  # the even patches, after the class token
    for number, layer in enumerate(adapter.layers, 1):
        unseen = number > 2 or (number == 2 and site == "before_block")
        tokens = attention_half(adapter, layer, tokens, TokenPositions(grid), hidden if unseen else None)[0]
        tokens = adapter.feed_forward_half(layer, tokens)
    wanted = adapter.final_norm(tokens)[:, [0, *range(2, 17, 2)]]
    torch.testing.assert_close(backbone(images).embeds, wanted, rtol=1e-4, atol=1e-4)
