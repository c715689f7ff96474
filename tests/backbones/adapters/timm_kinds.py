"""Small transformers of timm; their tests skip themselves where it is not installed."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from tests.backbones.adapters.vit_like import BLOCKS, SIDE, WIDTH, VitLike

_SIZES = {"embed_dim": WIDTH, "depth": BLOCKS, "num_heads": 4, "mlp_ratio": 2, "img_size": SIDE, "patch_size": 8}


def transformer(cls: str = "VisionTransformer", **settings: Any) -> Any:
    """Return a small one without classifier."""
    module = "eva" if cls == "Eva" else "vision_transformer"
    library = pytest.importorskip(f"timm.models.{module}")
    return getattr(library, cls)(**{**_SIZES, "num_classes": 0, **settings})


def head_input(module: Any, images: Tensor) -> Tensor:
    """Return what timm would classify."""
    return module.forward_head(module.forward_features(images), pre_logits=True)


def _kind(name: str, num_prefix: int = 1, cls: str = "VisionTransformer", **settings: Any) -> VitLike:
    pooling = settings.get("global_pool", "avg" if cls == "Eva" else "token")  # each class's own default
    pooled = None if pooling == "token" else head_input
    return VitLike(
        f"timm {name}",
        lambda: transformer(cls, **settings),
        lambda module, images: module.forward_features(images),
        num_prefix,
        pooled,
    )


_NO_CLASS = {"class_token": False}

KINDS = [
    _kind("ViT"),
    _kind("ViT with registers", 5, reg_tokens=4, no_embed_class=True, init_values=1e-5, drop_path_rate=0.1),
    _kind("ViT CLIP with normed heads", pre_norm=True, qk_norm=True, qkv_bias=False),
    _kind("ViT of any size", dynamic_img_size=True),
    _kind("ViT SigLIP", 0, global_pool="map", **_NO_CLASS),
    _kind("ViT pooled with its registers", 2, reg_tokens=2, global_pool="map", pool_include_prefix=True, **_NO_CLASS),
    _kind("ViT that averages", 0, global_pool="avg", **_NO_CLASS),
    _kind("ViT that averages beside a class token", global_pool="avg"),
    _kind("EVA-02", cls="Eva", swiglu_mlp=True, use_rot_pos_emb=True, qkv_fused=False, init_values=1e-5),
    _kind("EVA-02 normed inside", cls="Eva", use_rot_pos_emb=True, scale_attn_inner=True, global_pool="token"),
    _kind("EVA without rotation", cls="Eva", qkv_bias=False),
    _kind("EVA of any size", 5, cls="Eva", use_rot_pos_emb=True, num_reg_tokens=4, dynamic_img_size=True),
    _kind("Perception Encoder", cls="Eva", use_rot_pos_emb=True, attn_type="rope", global_pool="map"),
]
