"""What is special about Hugging Face's towers: sizes of images, and how SigLIP pools."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.selectors.random import RandomSelector
from tests.backbones.adapters.huggingface_kinds import KINDS, tower
from tests.backbones.adapters.vit_like import VitLike, pictures

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
EVERY_CLASS = ("ViTModel", "CLIPVisionModel", "SiglipVisionModel", "Dinov2Model", "Dinov2WithRegistersModel")


@every_kind
@pytest.mark.parametrize("size", [(64, 64), (32, 64), (16, 64)])  # the last one has as many patches as the table
def test_positions_are_interpolated_as_the_library_does(kind: VitLike, size: tuple[int, int]) -> None:
    module: Any = kind.fresh()
    images = torch.randn(2, 3, *size)
    flag = {} if "DINOv2" in kind.name else {"interpolate_pos_encoding": True}  # DINOv2 always does
    visual = TokenReducingBackbone(module)(images)
    assert torch.equal(visual.embeds[:, kind.pools :], module(images, **flag).last_hidden_state)
    assert visual.grid == (size[0] // 8, size[1] // 8)


@pytest.mark.parametrize("cls", EVERY_CLASS)
def test_weights_of_another_size_load_with_the_positions_that_the_library_would_use(cls: str) -> None:
    source, target = tower(cls), tower(cls, image_size=64)
    TokenReducingBackbone(target).load_state_dict(source.state_dict())
    source.eval(), target.eval()
    images = torch.randn(2, 3, 64, 64)
    wanted, got = TokenReducingBackbone(source)(images).embeds, TokenReducingBackbone(target)(images).embeds
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", ["ViTModel", "SiglipVisionModel"])
def test_positions_of_no_square_are_refused(cls: str) -> None:
    weights, backbone = tower(cls).state_dict(), TokenReducingBackbone(tower(cls))
    name = backbone.adapter.table_name
    rows = 12 + min(backbone.num_prefix, 1)
    weights[name] = weights[name][..., :rows, :]
    with pytest.raises(CheckpointError, match=r"not known and not square, 12 rows, the model of 4 x 4"):
        backbone.load_state_dict(weights)


def test_weights_without_a_table_keep_the_models_own() -> None:
    backbone = TokenReducingBackbone(tower("CLIPVisionModel"))
    weights = tower("CLIPVisionModel").state_dict()
    del weights[backbone.adapter.table_name]
    missing = backbone.load_state_dict(weights, strict=False).missing_keys
    assert missing == [f"vit.{backbone.adapter.table_name}"]


def test_siglip_pools_a_merged_token_as_often_as_the_patches_in_it() -> None:
    adapter = adapter_of(next(kind for kind in KINDS if kind.name == "Hugging Face SigLIP").fresh())
    tokens = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([[2, 1, 3], [1, 1, 1]])
    spelt_out = tokens[:1, [0, 0, 1, 2, 2, 2]]
    got = adapter.pool(tokens, sizes)
    torch.testing.assert_close(got[:1], adapter.pool(spelt_out, None), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got[1:], adapter.pool(tokens[1:], None), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("cls", ["SiglipVisionModel", "Dinov2WithRegistersModel"])
def test_the_token_reducing_backbone_around_it_compiles(cls: str) -> None:
    backbone = TokenReducingBackbone(tower(cls), [RandomSelector(blocks=[2], keep_ratio=0.5)]).eval()
    torch._dynamo.reset()
    with torch.no_grad():
        got, wanted = torch.compile(backbone, backend="eager")(pictures()).embeds, backbone(pictures()).embeds
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_other_classes_of_the_library_are_refused_by_name() -> None:
    from transformers import BertConfig, BertModel

    small = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8)
    with pytest.raises(ComponentError, match=r"transformers's classes but ViTModel, .*, got BertModel\. Use one of"):
        adapter_of(BertModel(small))


@pytest.mark.parametrize(("cls", "path"), [("ViTModel", "embeddings.patch_embeddings"), ("CLIPVisionModel", "encoder")])
def test_a_tower_of_other_parts_than_a_version_builds_is_refused_by_name(cls: str, path: str) -> None:
    vit = tower(cls)
    *owners, name = path.split(".")
    owner = (getattr(vit, "vision_model", vit) if "CLIP" in cls else vit).get_submodule(".".join(owners))
    delattr(owner, name)
    message = rf"^model.backbone: transformers [\d.]+ builds a {cls} of other parts .*'{name}'.* is tested with .* Inst"
    with pytest.raises(ComponentError, match=message):
        adapter_of(vit)


def test_a_block_that_another_version_would_build_is_refused_before_it_runs() -> None:
    vit = tower("Dinov2Model")
    vit.encoder.layer[0].attention = torch.nn.Identity()
    with pytest.raises(ComponentError, match=r"builds a Dinov2Model of other parts .* \('Identity' object"):
        adapter_of(vit)
