"""Transformers that selectors work in: unreduced, the library's own pass; reduced, kept patches keep their place."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.block_passes import attention_half
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import DataError
from bus_toolkit.ops.make_plans import keep_plan
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision
from tests.backbones.adapters.vit_like import BLOCKS, VitLike, pictures
from tests.backbones.adapters.vit_likes import VIT_LIKES

SITES: tuple[Site, ...] = ("before_block", "inside_block", "after_block")
every_kind = pytest.mark.parametrize("kind", VIT_LIKES.values(), ids=VIT_LIKES)


class _Anywhere(PatchSelector):
    """Keeps every other patch, at a site of choice."""

    site: ClassVar[Site] = "after_block"

    def score(self, view: BlockView) -> Tensor:
        return torch.arange(view.patches.shape[1]).remainder(2).expand(view.patches.shape[0], -1).float()


class _ByAttention(_Anywhere):
    def score(self, view: BlockView) -> Tensor:
        return view.inside.cls_attention()


class _Merging(_Anywhere):
    """Every odd patch joins the even one before it; tokens count by their size from then on."""

    def forward(self, view: BlockView) -> Decision:
        from bus_toolkit.ops.make_plans import merge_plan

        batch, count = view.patches.shape[:2]
        even = torch.arange(0, count, 2).expand(batch, -1)
        plan = merge_plan(even, torch.arange(count).div(2, rounding_mode="floor").expand(batch, -1))
        return Decision(plan, view.patches.mean(dim=-1), False)


def selector(cls: type[PatchSelector], site: Site, block: int = 2, **settings: object) -> PatchSelector:
    made = type(f"{cls.__name__}_{site}", (cls,), {"site": site})
    return made(blocks=[block], **settings)


@every_kind
def test_without_selectors_it_is_the_librarys_own_pass(kind: VitLike) -> None:
    module, images = kind.fresh(), pictures()
    visual = TokenReducingBackbone(module)(images)
    assert torch.equal(visual.embeds[:, kind.pools :], kind.tokens(module, images))
    assert visual.num_prefix == kind.num_prefix + kind.pools
    assert visual.embeds.shape[1] == visual.num_prefix + visual.grid[0] * visual.grid[1]


@every_kind
@pytest.mark.parametrize("site", SITES)
def test_keeping_all_patches_is_the_librarys_own_pass_bit_for_bit(kind: VitLike, site: Site) -> None:
    module, images = kind.fresh(), pictures()
    visual = TokenReducingBackbone(module, [selector(_ByAttention, site, keep_ratio=1.0)])(images)
    assert torch.equal(visual.embeds[:, kind.pools :], kind.tokens(module, images))


@pytest.mark.parametrize("kind", [kind for kind in VIT_LIKES.values() if kind.pooled], ids=lambda kind: kind.name)
def test_what_the_library_pools_is_the_global_token(kind: VitLike) -> None:
    module, images = kind.fresh(), pictures()
    assert kind.pooled is not None and torch.equal(
        TokenReducingBackbone(module)(images).cls, kind.pooled(module, images)
    )


@every_kind
@pytest.mark.parametrize("site", SITES)
def test_kept_patches_are_what_they_are_where_the_others_are_hidden(kind: VitLike, site: Site) -> None:
    module, images = kind.fresh(), pictures()
    backbone = TokenReducingBackbone(module, [selector(_Anywhere, site, keep_ratio=0.5)])
    kept = torch.arange(1, 16, 2)
    got = backbone(images)
    adapter = backbone.adapter
    tokens, grid = adapter.embed(images)
    positions = TokenPositions(grid)
    hidden = torch.zeros(2, tokens.shape[1])
    hidden[:, adapter.num_prefix :: 2] = float("-inf")  # the even patches
    for number, layer in enumerate(adapter.layers, 1):
        unseen = number > 2 or (number == 2 and site == "before_block")
        tokens = attention_half(adapter, layer, tokens, positions, hidden if unseen else None)[0]
        tokens = adapter.feed_forward_half(layer, tokens)
    wanted = adapter.final_norm(tokens)
    prefix = adapter.num_prefix
    wanted = torch.cat([wanted[:, :prefix], wanted[:, prefix + kept]], dim=1)
    torch.testing.assert_close(got.embeds[:, kind.pools :], wanted, rtol=1e-4, atol=1e-4)


@every_kind
def test_patches_in_another_order_stay_the_same_if_they_take_their_places_along(kind: VitLike) -> None:
    adapter = adapter_of(kind.fresh())
    tokens, grid = adapter.embed(pictures())
    prefix, count = adapter.num_prefix, grid[0] * grid[1]
    order = torch.stack([torch.randperm(count, generator=torch.Generator().manual_seed(i)) for i in range(2)])
    moved = torch.cat([tokens[:, :prefix], gather_tokens(tokens[:, prefix:], order)], dim=1)
    layer, no_bias = adapter.layers[0], torch.zeros(2, tokens.shape[1])
    out = attention_half(adapter, layer, tokens, TokenPositions(grid), no_bias)[0]
    wanted = torch.cat([out[:, :prefix], gather_tokens(out[:, prefix:], order)], dim=1)
    got = attention_half(adapter, layer, moved, TokenPositions(grid, order), no_bias)[0]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    if not adapter.runs_whole(TokenPositions(grid, order)):  # places act inside the block: others give another result
        lost = attention_half(adapter, layer, moved, TokenPositions(grid), no_bias)[0]
        assert (lost - wanted).abs().max() > 1e-3


@every_kind
@pytest.mark.parametrize("site", SITES)
def test_fused_and_merged_tokens_pass_every_later_block_and_gradient_flows(kind: VitLike, site: Site) -> None:
    for part in (
        selector(_ByAttention, site, block=1, keep_ratio=0.5, fuse="normalized"),
        selector(_Merging, site, block=1),
    ):
        backbone = TokenReducingBackbone(kind.fresh(), [part])
        visual = backbone(pictures())
        visual.embeds.square().mean().backward()
        assert torch.isfinite(visual.embeds).all()
        assert visual.embeds.shape[1] - visual.num_prefix == (9 if part.fuse != "none" else 8)
        gradient = backbone.adapter.layers[BLOCKS - 1].get_submodule(_first_linear(backbone)).weight.grad
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def _first_linear(backbone: TokenReducingBackbone) -> str:
    layer = backbone.adapter.layers[BLOCKS - 1]
    return next(name for name, module in layer.named_modules() if isinstance(module, torch.nn.Linear))


@every_kind
def test_one_images_result_does_not_depend_on_the_others(kind: VitLike) -> None:
    backbone, images = (
        TokenReducingBackbone(kind.fresh(), [selector(_ByAttention, "inside_block", keep_ratio=0.5)]),
        pictures(3),
    )
    torch.testing.assert_close(backbone(images[1:2]).embeds, backbone(images).embeds[1:2], rtol=1e-4, atol=1e-4)


def test_a_place_is_followed_through_two_reductions() -> None:
    scores = torch.tensor([[0.0, 3.0, 1.0, 2.0, 5.0, 4.0]])
    once = TokenPositions((2, 3)).after(keep_plan(scores, 3, fuse=True))
    assert once.patches.tolist() == [[1, 4, 5, -1]]
    twice = once.after(keep_plan(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), 2))
    assert twice.patches.tolist() == [[5, -1]]
    assert TokenPositions((2, 3)).after(keep_plan(scores, 6)).complete


@every_kind
def test_in_float64_it_is_the_same_to_the_precision_of_float32(kind: VitLike) -> None:
    keep = selector(_ByAttention, "inside_block", keep_ratio=0.5)
    exact, coarse = (TokenReducingBackbone(kind.fresh().to(dtype), [keep]) for dtype in (torch.float64, torch.float32))
    visual = exact(pictures().double())
    assert visual.embeds.dtype == visual.selections[0].decision.scores.dtype == torch.float64
    torch.testing.assert_close(visual.embeds.float(), coarse(pictures()).embeds, atol=1e-3, rtol=1e-3)


@every_kind
def test_images_of_another_size_are_refused_or_change_nothing_in_the_module(kind: VitLike) -> None:
    backbone = TokenReducingBackbone(kind.fresh(), [selector(_ByAttention, "inside_block", keep_ratio=0.5)])
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    images = pictures()
    visual = backbone(images).embeds
    for shape in ((16, 48), (48, 32), (64, 16)):
        with suppress(DataError):
            backbone(torch.nn.functional.interpolate(images, size=shape))
    after = backbone.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(backbone(images).embeds, visual)


def test_positions_between_patches_of_another_grid_are_refused() -> None:
    """As many patches in another shape would get the biases of other offsets."""
    backbone = TokenReducingBackbone(VIT_LIKES["BEiT"].fresh())
    with pytest.raises(DataError, match=r"got 64 x 16, and refuses it: Its relative positions are of 4 x 4 patches"):
        backbone(torch.zeros(1, 3, 64, 16))
