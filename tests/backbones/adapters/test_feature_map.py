"""Backbones taken as a whole: their last tokens, row by row; what selectors may ask there; what is refused, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmpretrain import models
from torch import Tensor, nn

from bus_toolkit.analysis.backbone_settings import NEEDED, SMALL
from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.feature_map import FeatureMapAdapter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.registry import MMPRETRAIN, REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import TextTokens
from tests.backbones.adapters.vit_like import pictures

SIDE = 64
SWIN = {"embed_dims": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}
MIXER = {"embed_dims": 32, "num_layers": 2, "tokens_mlp_dims": 16, "channels_mlp_dims": 64}
TNT = {"embed_dims_outer": 48, "embed_dims_inner": 8, "num_layers": 2, "num_heads_outer": 4, "num_heads_inner": 2}


def resnet(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return models.ResNet(**{"depth": 18, "base_channels": 8, "stem_channels": 8, **settings})


def backbone_of(vit: nn.Module, *selectors: PatchSelector, side: int = SIDE) -> TokenReducingBackbone:
    return TokenReducingBackbone(vit, selectors, adapter=adapter_of(vit, side)).eval()


def texts(width: int) -> TextTokens:
    embeds = torch.randn(2, 4, width, generator=torch.Generator().manual_seed(3))
    return TextTokens(embeds, embeds[:, 0], torch.ones(2, 4, dtype=torch.bool))


def test_tokens_are_the_last_map_row_by_row_with_their_mean_in_front() -> None:
    vit = resnet(out_indices=(1, 2))
    backbone, images = backbone_of(vit), pictures(side=SIDE)
    visual, maps = backbone(images), vit(images)[-1]
    assert (visual.grid, visual.num_prefix, backbone.grid, backbone.image_size) == ((4, 4), 1, (4, 4), (SIDE, SIDE))
    for row, column in ((0, 0), (1, 3), (3, 2)):
        assert torch.equal(visual.embeds[:, 1 + 4 * row + column], maps[:, :, row, column])
    torch.testing.assert_close(visual.cls, maps.mean(dim=(2, 3)))


def test_a_selector_after_it_leaves_the_kept_tokens_as_they_are() -> None:
    vit = resnet(out_indices=(2,))
    selector = TextSemanticPatchSelector(blocks=[1], embed_dim=32, text_dim=32, keep_ratio=0.25, fuse="none")
    backbone, images = backbone_of(vit, selector), pictures(side=SIDE)
    visual, plain = backbone(images, texts(32)), backbone_of(vit)(images)
    assert visual.embeds.shape == (2, 1 + 4, 32)
    for row, kept in enumerate(visual.selections[0].decision.plan.keep_indices):
        assert torch.equal(visual.embeds[row, 1:], plain.embeds[row, 1 + kept])
    torch.testing.assert_close(visual.cls, visual.embeds[:, 1:].mean(dim=1))


def test_oblong_images_give_an_oblong_grid_and_other_sizes_their_own() -> None:
    backbone = TokenReducingBackbone(vit := resnet(), adapter=adapter_of(vit, (64, 96)))
    assert backbone.grid == (2, 3) and backbone.adapter.patch_size == (32, 32)
    assert backbone.eval()(torch.zeros(1, 3, 128, 64)).grid == (4, 2)


def test_the_dry_run_moves_no_statistics_and_restores_every_mode() -> None:
    vit = resnet(frozen_stages=0)
    vit.train()
    modes = {name: module.training for name, module in vit.named_modules()}
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    adapter_of(vit, SIDE)
    assert {name: module.training for name, module in vit.named_modules()} == modes and len(set(modes.values())) == 2
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())


READ: dict[str, tuple[Callable[[], Any], int, Callable[[Any, Tensor], Tensor], Callable[[Any, Tensor], Tensor]]] = {
    # how to build it, prefix tokens, what the class itself gives out, the same from the adapter's tokens
    "XCiT": (
        lambda: models.XCiT(img_size=SIDE, embed_dims=48, depth=2, num_heads=4, out_type="raw", patch_size=16),
        1,
        lambda vit, images: vit(images)[-1],
        lambda vit, tokens: tokens,
    ),
    "TNT": (
        lambda: models.TNT(arch=TNT, img_size=SIDE),
        1,
        lambda vit, images: vit(images)[0],
        lambda vit, tokens: tokens[:, 0],
    ),
    "Conformer": (
        models.Conformer,
        1,
        lambda vit, images: vit(images)[-1][1],
        lambda vit, tokens: tokens[:, 0],
    ),
    "MixMIMTransformer": (
        lambda: models.MixMIMTransformer(arch=SWIN, img_size=SIDE, window_size=[4, 4, 2, 2]),
        0,
        lambda vit, images: vit(images)[0],
        lambda vit, tokens: tokens.mean(dim=1),
    ),
    "MlpMixer": (
        lambda: models.MlpMixer(arch=MIXER, img_size=SIDE),
        0,
        lambda vit, images: vit(images)[-1].transpose(1, 2),
        lambda vit, tokens: tokens,
    ),
    "InceptionV3": (
        models.InceptionV3,
        0,
        lambda vit, images: vit(images)[1],
        lambda vit, tokens: vit.fc(tokens.mean(dim=1)),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_the_class_gives_out_follows_from_the_tokens(name: str) -> None:
    torch.manual_seed(0)
    build, num_prefix, wanted, got = READ[name]
    vit = build()
    vit.eval()
    side = 320 if name == "InceptionV3" else SIDE
    adapter, images = adapter_of(vit, side), pictures(side=side)
    assert isinstance(adapter, FeatureMapAdapter) and adapter.num_prefix == num_prefix
    with torch.no_grad():
        tokens, (rows, columns) = adapter.embed(images)
        torch.testing.assert_close(got(vit, tokens), wanted(vit, images), rtol=1e-4, atol=1e-4)
    assert tokens.shape == (2, num_prefix + rows * columns, adapter.embed_dim)


@pytest.mark.parametrize("name", [name for name in REGISTRIES.selectors.names() if name != "OracleBoxes"])
def test_selectors_that_need_no_block_work_and_the_others_are_refused_when_it_is_built(name: str) -> None:
    widths = {"embed_dim": 32, "text_dim": 32}
    node = {"type": name, "blocks": [1]}
    selector = REGISTRIES.selectors.build(node, path="model.selectors.0", **widths)
    vit = resnet(out_indices=(2,))
    if selector.reads_block or selector.site != "after_block":
        with pytest.raises(ConfigError, match=r"model.selectors.0: .* got ResNet, "):
            backbone_of(vit, selector)
        return
    backbone = backbone_of(vit, selector)
    for text in (texts(32), None) if selector.needs_text else (None,):
        visual = backbone(pictures(side=SIDE), text)
        assert torch.isfinite(visual.embeds).all() and visual.selections


class _ReadsBlock(PatchSelector):
    reads_block = True

    def score(self, view: BlockView) -> Tensor:
        return view.inside.keys().mean(dim=(2, 3))


class _SaysNothing(_ReadsBlock):
    reads_block = False


def test_a_selector_that_reads_the_block_is_refused_also_after_it() -> None:
    with pytest.raises(
        ConfigError, match=r"_ReadsBlock reads attention inside a block, got ResNet, whose FeatureMapAdapter"
    ):
        backbone_of(resnet(), _ReadsBlock(blocks=[1]))


def test_one_that_does_not_say_so_gets_the_reason_when_it_asks() -> None:
    with pytest.raises(ComponentError, match=r"asks for the inside of a block, got ResNet.*say reads_block = True"):
        backbone_of(resnet(), _SaysNothing(blocks=[1]))(pictures(side=SIDE))


def test_a_pass_without_text_ranks_by_the_share_in_the_mean() -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[[[3.0, 0.0], [1.0, -2.0]]]]).expand(images.shape[0], 4, -1, -1)

    vit = Fixed()
    selector = TextSemanticPatchSelector(blocks=[1], embed_dim=4, text_dim=4, fuse="none")
    selector.hidden = selector.out = None  # never asked
    backbone = TokenReducingBackbone(vit, [selector], adapter=FeatureMapAdapter(vit, 2))
    selection = backbone(torch.zeros(1, 3, 2, 2)).selections[0]
    # Four channels alike; the mean is 0.5, so that the attention is the softmax of 4 * 0.5 x / sqrt(4) = x.
    torch.testing.assert_close(selection.decision.scores, torch.tensor([[3.0, 0.0, 1.0, -2.0]]).softmax(dim=1))
    assert selection.decision.plan.keep_indices.tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("build", "side", "message"),
    [
        (
            lambda: models.SparseResNet(depth=18, norm_cfg={"type": "BN"}),
            64,
            "SparseResNet cannot be used, it waits for",
        ),
        (models.LeNet5, 64, "LeNet5 cannot be used, it reads gray images"),
        (resnet, 80, "a feature map of 3 x 3 does not tile an image, got 80 x 80 pixels"),
        (
            lambda: models.TNT(arch=TNT, img_size=SIDE),
            96,
            "TNT does not run on 3 channels of 96 x 96 pixels: Input image",
        ),
        (
            lambda: models.ConvNeXt(arch={"depths": [1] * 4, "channels": [8] * 4}),
            64,
            r"ConvNeXt gives out one vector an image, got shape \(1, 8\).*gap_before_final_norm",
        ),
    ],
)
def test_what_cannot_be_taken_as_a_whole_is_refused_with_a_reason(
    build: Callable[[], nn.Module], side: int, message: str
) -> None:
    with pytest.raises(ComponentError, match=message):
        adapter_of(build(), side)


def test_a_sequence_that_is_no_grid_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.new_zeros(1, 15, 8)

    with pytest.raises(ComponentError, match="gives out 15 tokens, got images of 64 x 64 pixels. They must be square"):
        FeatureMapAdapter(Odd(), SIDE)


@pytest.mark.parametrize("dtype", (torch.float64, torch.bfloat16))
@pytest.mark.parametrize("name", ("EdgeNeXt", "XCiT", "ResNet", "SwinTransformer"))
def test_weights_may_have_any_precision(name: str, dtype: torch.dtype) -> None:
    # The positions of EdgeNeXt and XCiT are float32 whatever the weights are.
    node = {"type": f"{MMPRETRAIN}{name}", "img_size": SIDE, **NEEDED.get(name, {}), **SMALL.get(name, {})}
    vit, adapter = build_backbone(node)
    visual = TokenReducingBackbone(vit, [], adapter=adapter).eval().to(dtype)(pictures(side=SIDE).to(dtype))
    assert visual.embeds.dtype == dtype and torch.isfinite(visual.embeds).all()
