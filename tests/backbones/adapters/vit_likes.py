"""Small transformers of each kind that an adapter takes apart, with every parameter away from its start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmpretrain import models
from torch import Tensor, nn

WIDTH, BLOCKS, SIDE = 32, 3, 32
_ARCH = {"embed_dims": WIDTH, "num_layers": BLOCKS, "num_heads": 4, "feedforward_channels": 64}


@dataclass(frozen=True)
class VitLike:
    """How to build one, and what its own library says that its tokens are.

    Attributes:
        build: Returns the module.
        tokens: The library's own forward pass: images to (B, P + N, D).
        num_prefix: Prefix tokens P.
    """

    build: Callable[[], nn.Module]
    tokens: Callable[[Any, Tensor], Tensor]
    num_prefix: int = 1

    def fresh(self) -> nn.Module:
        """Return it in eval mode with random numbers in every parameter, layer scales and position tables too."""
        torch.manual_seed(0)
        module = self.build()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + 0.2)
        module.eval()
        return module


def _openmmlab(name: str, num_prefix: int = 1, **settings: Any) -> VitLike:
    def build() -> nn.Module:
        sizes = {"arch": _ARCH, "img_size": SIDE, "patch_size": 8, "out_type": "raw"}
        return getattr(models, name)(**{**sizes, **settings})

    return VitLike(build, lambda module, images: module(images)[0], num_prefix)


VIT_LIKES: dict[str, VitLike] = {
    "ViT": _openmmlab("VisionTransformer"),
    "ViT CLIP": _openmmlab("VisionTransformer", pre_norm=True),
    "ViT DINOv2": _openmmlab("VisionTransformer", layer_scale_init_value=1e-5, layer_cfgs={"ffn_type": "swiglu_fused"}),
    "ViT without class token": _openmmlab("VisionTransformer", 0, with_cls_token=False),
    "DeiT distilled": _openmmlab("DistilledVisionTransformer", 2),
    "DeiT3": _openmmlab("DeiT3"),
    "BEiT": _openmmlab("BEiTViT"),
    "BEiT absolute and shared": _openmmlab(
        "BEiTViT", use_abs_pos_emb=True, use_rel_pos_bias=False, use_shared_rel_pos_bias=True, final_norm=True
    ),
    "BEiT with plain bias": _openmmlab("BEiTViT", bias=True, layer_scale_init_value=0.0),
    "EVA-02": _openmmlab("ViTEVA02"),
    "EVA-02 with inner norm": _openmmlab("ViTEVA02", sub_ln=True, final_norm=False),
}


def pictures(batch: int = 2, side: int = SIDE) -> Tensor:
    """Return ``batch`` images of noise."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(2))
