"""Small towers of transformers."""

from __future__ import annotations

from typing import Any

import transformers
from torch import Tensor

from tests.backbones.adapters.vit_like import BLOCKS, SIDE, WIDTH, VitLike

_SIZES = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": 4, "image_size": SIDE}


def tower(cls: str, **settings: Any) -> Any:
    """Return a small one; positional tables for images of 32 pixels, patches of 8."""
    model = getattr(transformers, cls)
    wide = {} if "Dinov2" in cls else {"intermediate_size": 64}
    config = model.config_class(**{**_SIZES, "patch_size": 8, **wide, **settings})
    config._attn_implementation = "sdpa"
    return model(config)


def last_hidden_state(module: Any, images: Tensor) -> Tensor:
    """Return what the library gives out."""
    return module(images).last_hidden_state


def pooler_output(module: Any, images: Tensor) -> Tensor:
    """Return what the library pools."""
    return module(images).pooler_output


def _kind(name: str, cls: str, num_prefix: int = 1, *, pooled: Any = None, **settings: Any) -> VitLike:
    return VitLike(name, lambda: tower(cls, **settings), last_hidden_state, num_prefix, pooled)


KINDS = [
    _kind("Hugging Face ViT", "ViTModel", qkv_bias=False),
    _kind("Hugging Face CLIP", "CLIPVisionModel", pooled=pooler_output),
    _kind("Hugging Face SigLIP", "SiglipVisionModel", 0, pooled=pooler_output),
    _kind("Hugging Face SigLIP without head", "SiglipVisionModel", 0, vision_use_head=False),
    _kind("Hugging Face DINOv2", "Dinov2Model", mlp_ratio=2, drop_path_rate=0.1),
    _kind("Hugging Face DINOv2 with SwiGLU", "Dinov2Model", mlp_ratio=2, use_swiglu_ffn=True),
    _kind("Hugging Face DINOv2 with registers", "Dinov2WithRegistersModel", 5, mlp_ratio=2),
]
