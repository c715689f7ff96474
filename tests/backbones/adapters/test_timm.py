"""What is special about timm's transformers: refusals, pooling of merged tokens, positions of other sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("timm")

from timm.layers import DiffAttention, resample_abs_pos_embed
from timm.models import vision_transformer as library

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.selectors.random import RandomSelector
from tests.backbones.adapters.timm_kinds import KINDS, transformer
from tests.backbones.adapters.vit_like import pictures


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"block_fn": library.ResPostBlock}, "ResPostBlock as blocks"),
        ({"block_fn": library.ParallelScalingBlock}, "ParallelScalingBlock as blocks"),
        ({"block_fn": library.ParallelThingsBlock}, "ParallelThingsBlock as blocks"),
        ({"attn_layer": DiffAttention}, "DiffAttention as attention"),
        ({"patch_drop_rate": 0.5}, "patch_drop_rate .Random is a selector"),
        ({"global_pool": "max"}, "global_pool 'max'"),
        ({"global_pool": "avg", "pool_include_prefix": True}, "pool_include_prefix with global_pool 'avg'"),
        ({"cls": "Eva", "use_post_norm": True}, "EvaBlockPostNorm as blocks"),
        ({"cls": "Eva", "use_rot_pos_emb": True, "rope_type": "mixed"}, "RotaryEmbeddingMixed with rotations by block"),
        ({"cls": "Eva", "attn_type": "rope", "qkv_fused": False, "num_kv_heads": 2}, "keys that heads share"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_with_a_reason(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ComponentError, match=rf"model.backbone: selectors cannot work.*{reason}.*Use another model"):
        adapter_of(transformer(**settings))


def test_other_classes_of_the_library_are_refused_by_name() -> None:
    from timm.models.beit import Beit

    with pytest.raises(ComponentError, match=r"timm's classes but VisionTransformer, Eva, got Beit\. Use one of"):
        adapter_of(Beit(img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=4))


@pytest.mark.parametrize("name", ["SigLIP", "pooled with its registers"])
def test_attention_pools_a_merged_token_as_often_as_the_patches_in_it(name: str) -> None:
    adapter = adapter_of(next(kind for kind in KINDS if name in kind.name).fresh())
    prefix = adapter.num_prefix
    tokens = torch.randn(1, prefix + 3, 32, generator=torch.Generator().manual_seed(0))
    spelt_out = tokens[:, [*range(prefix), *(prefix + i for i in (0, 0, 1, 2, 2, 2))]]
    got, wanted = adapter.pool(tokens, torch.tensor([[2, 1, 3]])), adapter.pool(spelt_out, None)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"reg_tokens": 4, "no_embed_class": True}, {"cls": "Eva"}])
def test_weights_of_another_size_load_with_the_positions_that_timm_would_use(settings: dict[str, Any]) -> None:
    source, target = transformer(**settings), transformer(**settings, img_size=64)
    TokenReducingBackbone(target).load_state_dict(source.state_dict())
    placed = 0 if settings.get("no_embed_class") else 1
    wanted = resample_abs_pos_embed(source.pos_embed, (8, 8), (4, 4), placed)
    assert torch.equal(target.pos_embed, wanted)
    with pytest.raises(CheckpointError, match=r"not known and not square, 12 rows, the model of 8 x 8"):
        TokenReducingBackbone(target).load_state_dict({"pos_embed": source.pos_embed[:, : 12 + placed]}, strict=False)


def test_attention_with_a_gate_is_refused() -> None:
    module = transformer()
    module.blocks[0].attn.gate = torch.nn.Linear(32, 32)
    with pytest.raises(ComponentError, match="got gated attention"):
        adapter_of(module)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm ViT SigLIP", "timm EVA-02"])
def test_the_token_reducing_backbone_around_it_compiles(name: str) -> None:
    module = next(kind for kind in KINDS if kind.name == name).fresh()
    backbone = TokenReducingBackbone(module, [RandomSelector(blocks=[2], keep_ratio=0.5)]).eval()
    torch._dynamo.reset()
    with torch.no_grad():
        got, wanted = torch.compile(backbone, backend="eager")(pictures()).embeds, backbone(pictures()).embeds
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_images_of_any_size_are_taken_where_timm_was_built_for_them() -> None:
    for cls in ("VisionTransformer", "Eva"):
        rotary = {"use_rot_pos_emb": True} if cls == "Eva" else {}
        module = transformer(cls, dynamic_img_size=True, **rotary).eval()
        images = torch.randn(1, 3, 16, 48)
        visual = TokenReducingBackbone(module)(images)
        assert visual.grid == (2, 6)
        assert torch.equal(visual.embeds[:, cls == "Eva" :], module.forward_features(images))


@pytest.mark.parametrize("settings", [{"global_pool": "token"}, {"global_pool": "avg"}, {"global_pool": "map"}])
@pytest.mark.parametrize("fc_norm", [None, True])
def test_the_global_token_is_what_the_librarys_head_reads(settings: dict[str, Any], fc_norm: bool | None) -> None:
    vit = transformer(**settings, fc_norm=fc_norm, num_classes=5).eval()
    images = pictures()
    with torch.no_grad():
        visual = TokenReducingBackbone(vit).eval()(images)
        torch.testing.assert_close(vit.head(visual.cls), vit(images))
