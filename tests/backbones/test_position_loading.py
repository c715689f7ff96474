"""Weights of one image size in a model of another: position embeddings are interpolated, all else is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from bus_toolkit.backbones.adapters.openmmlab_vit import vision_transformer
from bus_toolkit.backbones.conv_stem import conv_stem_vit
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.ops.rotary import eva02_angles
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import tiny_model
from tests.weights.sources import beit, eva02

ARCH = {"embed_dims": 32, "num_layers": 2, "num_heads": 4, "feedforward_channels": 64}
HEADS = {"itc": {"type": "ITCHead", "feature_dim": 16}}


def backbone(img_size: int | tuple[int, int], *, stem: bool = False) -> TokenReducingBackbone:
    torch.manual_seed(0)
    settings = {"arch": ARCH, "img_size": img_size, "patch_size": 8}
    vit = conv_stem_vit(**settings, stem_channels=[8, 8, 16]) if stem else vision_transformer(**settings)
    nn.init.normal_(vit.pos_embed)
    return TokenReducingBackbone(vit)


def interpolated(table: Tensor, old: int, new: int) -> Tensor:
    return resize_pos_embed(table, (old, old), (new, new), "bicubic", 1)


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("bare", [False, True])
def test_positions_of_another_size_are_interpolated_as_mmpretrain_does(stem: bool, bare: bool) -> None:
    source, target = backbone(32, stem=stem), backbone(64, stem=stem)
    target.load_state_dict((source.vit if bare else source).state_dict())
    assert torch.equal(target.vit.pos_embed, interpolated(source.vit.pos_embed, 4, 8))
    assert torch.equal(target.vit.pos_embed[:, :1], source.vit.pos_embed[:, :1]), "the prefix token stays as it is"
    others = {name: value for name, value in source.state_dict().items() if "pos_embed" not in name}
    assert all(torch.equal(target.state_dict()[name], value) for name, value in others.items())


def test_it_works_towards_smaller_and_towards_oblong_images() -> None:
    source, smaller, oblong = backbone(64), backbone(32), backbone((32, 64))
    smaller.load_state_dict(source.state_dict())
    assert torch.equal(smaller.vit.pos_embed, interpolated(source.vit.pos_embed, 8, 4))
    oblong.load_state_dict(source.state_dict())
    expected = resize_pos_embed(source.vit.pos_embed, (8, 8), (4, 8), "bicubic", 1)
    assert torch.equal(oblong.vit.pos_embed, expected)


def test_the_same_size_loads_bit_for_bit() -> None:
    source, target = backbone(32), backbone(32)
    with torch.no_grad():
        source.vit.pos_embed.add_(0.1)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.vit.pos_embed, source.vit.pos_embed)


@pytest.mark.parametrize("keys", ["with a momentum branch", "without"])
def test_momentum_copies_are_interpolated_too(keys: str) -> None:
    source = tiny_model(HEADS, momentum={"decay": 0.9} if keys == "with a momentum branch" else None)
    wide = {**tiny.VISION_TRANSFORMER, "img_size": 64}
    target = tiny_model(HEADS, momentum={"decay": 0.9}, backbone=wide, seed=1)
    torch.nn.init.normal_(source.backbone.vit.pos_embed)
    copy = source.backbone if source.momentum is None else source.momentum.copies["backbone"]
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.backbone.vit.pos_embed, interpolated(source.backbone.vit.pos_embed, 4, 8))
    assert torch.equal(target.momentum.copies["backbone"].vit.pos_embed, interpolated(copy.vit.pos_embed, 4, 8))


def test_weights_keep_the_grid_of_their_positions(tmp_path: Path) -> None:
    source, target = backbone((32, 128)), backbone(64)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    target.load_state_dict(torch.load(tmp_path / "a.pth", weights_only=True))
    expected = resize_pos_embed(source.vit.pos_embed, (4, 16), (8, 8), "bicubic", 1)
    assert target.vit.pos_embed.shape == source.vit.pos_embed.shape
    assert torch.equal(target.vit.pos_embed, expected) and not torch.equal(target.vit.pos_embed, source.vit.pos_embed)


def test_a_grid_that_looks_square_is_taken_as_what_it_was() -> None:
    source, target = backbone((32, 72)), backbone((48, 72))  # 36 patches, as 6 x 6 has
    target.load_state_dict(source.state_dict())
    expected = resize_pos_embed(source.vit.pos_embed, (4, 9), (6, 9), "bicubic", 1)
    assert torch.equal(target.vit.pos_embed, expected)


def test_momentum_copies_start_from_the_right_grid() -> None:
    oblong, square = ({**tiny.VISION_TRANSFORMER, "img_size": size} for size in ((32, 128), 64))
    source = tiny_model(HEADS, backbone=oblong)
    target = tiny_model(HEADS, momentum={"decay": 0.9}, backbone=square, seed=1)
    torch.nn.init.normal_(source.backbone.vit.pos_embed)
    target.load_state_dict(source.state_dict())
    expected = resize_pos_embed(source.backbone.vit.pos_embed, (4, 16), (8, 8), "bicubic", 1)
    assert torch.equal(target.backbone.vit.pos_embed, expected)
    assert torch.equal(target.momentum.copies["backbone"].vit.pos_embed, expected)


def test_positions_of_an_unknown_grid_that_is_not_square_are_refused() -> None:
    bare = dict(backbone((32, 64)).vit.state_dict())
    backbone((32, 64)).load_state_dict(bare)
    message = r"a grid that is not known and not square, 32 rows, the model of 8 x 8 patches\. Use the img_size"
    with pytest.raises(CheckpointError, match=message):
        backbone(64).load_state_dict(bare)


@pytest.mark.parametrize("kind", ["BEiTViT", "ViTEVA02"])
def test_relative_and_rotary_positions_follow_the_grid(kind: str) -> None:
    build = {"BEiTViT": beit, "ViTEVA02": eva02}[kind]
    source, target = TokenReducingBackbone(build(img_size=(32, 128))), TokenReducingBackbone(build(img_size=64))
    for parameter in source.vit.parameters():
        nn.init.normal_(parameter)
    target.load_state_dict(source.state_dict())
    changed = {
        name
        for name, value in target.state_dict().items()
        if value.shape != source.state_dict()[name].shape or not torch.equal(value, source.state_dict()[name])
    }
    tables = {f"vit.{table.name}" for table in target.adapter.position_tables()}
    assert changed == tables | {name for name in target.state_dict() if name.endswith("relative_position_index")}
    again = TokenReducingBackbone(build(img_size=64))
    again.load_state_dict(target.state_dict())
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in again.state_dict().items())


def test_the_table_of_a_window_does_not_follow_the_grid_of_the_image() -> None:
    def swin(size: int | tuple[int, int]) -> TokenReducingBackbone:
        settings = {"arch": "tiny", "img_size": size, "type": "mmpretrain.SwinTransformer"}
        vit, adapter = build_backbone({**settings, "window_size": 2, "drop_path_rate": 0.0})
        return TokenReducingBackbone(vit, adapter=adapter)

    source, target = swin((64, 128)), swin(64)
    target.load_state_dict(source.state_dict())
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("usual", [True, False], ids=["angles of EVA-02", "angles of the class"])
def test_rotary_positions_of_another_size_are_those_of_a_model_of_that_size(usual: bool, dtype: torch.dtype) -> None:
    source, target = TokenReducingBackbone(eva02(img_size=64)), TokenReducingBackbone(eva02(img_size=(32, 48)))
    if usual:
        for kind in ("cos", "sin"):
            table = getattr(source.vit.rope, f"freqs_{kind}")
            table.copy_(eva02_angles((8, 8), table.shape[1], kind))
    target.load_state_dict(source.state_dict())
    source, target = source.to(dtype).eval(), target.to(dtype).eval()
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    tolerance = 2e-2 if dtype is torch.bfloat16 else 1e-4
    torch.testing.assert_close(source(images).embeds, target(images).embeds, rtol=tolerance, atol=tolerance)
