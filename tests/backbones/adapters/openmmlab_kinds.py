"""Small transformers of OpenMMLab."""

from __future__ import annotations

from typing import Any

from mmpretrain import models
from torch import nn

from tests.backbones.adapters.vit_like import BLOCKS, SIDE, WIDTH, VitLike

_ARCH = {"embed_dims": WIDTH, "num_layers": BLOCKS, "num_heads": 4, "feedforward_channels": 64}
_SHARED = {"use_rel_pos_bias": False, "use_shared_rel_pos_bias": True}


def _kind(name: str, cls: str, num_prefix: int = 1, **settings: Any) -> VitLike:
    def build() -> nn.Module:
        sizes = {"arch": _ARCH, "img_size": SIDE, "patch_size": 8, "out_type": "raw"}
        return getattr(models, cls)(**{**sizes, **settings})

    return VitLike(name, build, lambda module, images: module(images)[0], num_prefix)


KINDS = [
    _kind("ViT", "VisionTransformer"),
    _kind("ViT CLIP", "VisionTransformer", pre_norm=True),
    _kind("ViT DINOv2", "VisionTransformer", layer_scale_init_value=1e-5, layer_cfgs={"ffn_type": "swiglu_fused"}),
    _kind("ViT without class token", "VisionTransformer", 0, with_cls_token=False),
    _kind("DeiT distilled", "DistilledVisionTransformer", 2),
    _kind("DeiT3", "DeiT3"),
    _kind("BEiT", "BEiTViT"),
    _kind("BEiT absolute and shared", "BEiTViT", use_abs_pos_emb=True, final_norm=True, **_SHARED),
    _kind("BEiT with plain bias", "BEiTViT", bias=True, layer_scale_init_value=0.0),
    _kind("EVA-02", "ViTEVA02"),
    _kind("EVA-02 with inner norm", "ViTEVA02", sub_ln=True, final_norm=False),
]
