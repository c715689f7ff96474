"""The smallest surroundings in which parts run: width 32, images of 32 x 32 pixels, patches of 8."""

from __future__ import annotations

import copy
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.ops.to_device import to_device
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.structures import TextTokens

WIDTH = 32
SIDE = 32
PATCH = 8
BATCH = 3
LENGTH = 6
WIDTHS = {"embed_dim": WIDTH, "text_dim": WIDTH}
VISION_TRANSFORMER: dict[str, Any] = {
    "type": "mmpretrain.VisionTransformer",
    "arch": {"embed_dims": WIDTH, "num_layers": 4, "num_heads": 4, "feedforward_channels": 64},
    "img_size": SIDE,
    "patch_size": PATCH,
    "out_type": "raw",
}
# What backbones of these names need beside the sizes above to be as small.
BACKBONES: dict[str, dict[str, Any]] = {
    "ConvStemViT": {"stem_channels": [8, 8, 16]},
    "HuggingFaceVision": {
        "model": "Dinov2Model",
        "config": {
            "hidden_size": WIDTH,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "mlp_ratio": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
    },
    "TimmVision": {
        "model": "vit_tiny_patch16_224",
        "settings": {"embed_dim": WIDTH, "depth": 4, "num_heads": 4, "mlp_ratio": 2, "patch_size": PATCH},
    },
}
# Tried where a part takes an argument of that name.
SIZES = {"num_heads": 4, "num_layers": 2, "num_queries": 4}


@lru_cache
def vision_transformer(dtype: torch.dtype = torch.float32, num_layers: int = 4) -> Any:
    """Return a plain transformer, always the same one, with weights that are large enough to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        arch = {**VISION_TRANSFORMER["arch"], "num_layers": num_layers}
        vit = REGISTRIES.backbones.build({**VISION_TRANSFORMER, "arch": arch}, path="model.backbone")
        for parameter in vit.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    vit.to(dtype)
    vit.eval()  # returns None there
    return vit


def vision_transformer_of(tensor: Tensor, num_layers: int = 4) -> Any:
    """Return that transformer in the type and on the device of a tensor."""
    vit = vision_transformer(tensor.dtype, num_layers)
    return vit if tensor.device.type == "cpu" else copy.deepcopy(vit)._apply(partial(to_device, device=tensor.device))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Return fixed normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def text_inputs() -> dict[str, Tensor]:
    """Return encoded texts: ``text`` (B, L, D) and ``mask`` bool (B, L), the last one padded."""
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    mask[-1, -2:] = False
    return {"text": numbers(BATCH, LENGTH, WIDTH, seed=1), "mask": mask}


def text_tokens(inputs: dict[str, Tensor]) -> TextTokens:
    """Return them as the parts know them."""
    return TextTokens(inputs["text"], inputs["text"][:, 0], inputs["mask"])
