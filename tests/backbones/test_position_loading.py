"""Weights of one image size in a model of another: position embeddings are interpolated, all else is as it was."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from bus_toolkit.backbones.adapters.openmmlab_vit import vision_transformer
from bus_toolkit.backbones.conv_stem import conv_stem_vit
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import tiny_model

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


def test_positions_of_an_oblong_image_are_refused_where_they_do_not_fit() -> None:
    oblong = backbone((32, 64))
    backbone((32, 64)).load_state_dict(oblong.state_dict())
    with pytest.raises(CheckpointError, match=r"of 32 patches, got a model of 64\..*square image.*Use the img_size"):
        backbone(64).load_state_dict(oblong.state_dict())
