"""Small models of other libraries with random weights everywhere, and the modules of ours that take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import BEiTViT, VisionTransformer, ViTEVA02
from torch import Tensor, nn

WIDTH, DEPTH, HEADS, HIDDEN, VOCABULARY = 16, 2, 4, 24, 40
ARCH = {"embed_dims": WIDTH, "num_layers": DEPTH, "num_heads": HEADS, "feedforward_channels": HIDDEN}
HF = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": HIDDEN,
    "image_size": 32,
    "patch_size": 8,
}
BERT = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": 4 * WIDTH,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 20,
}


def randomised(module: Any, seed: int = 0) -> Any:  # any module
    """Return ``module`` in eval mode, every parameter random: norms, biases, layer scales and tables, too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    module.eval()
    return module


def vit(cls: type = VisionTransformer, **settings: Any) -> Any:  # a class of mmpretrain
    """Return a transformer of mmpretrain for 32 x 32 images with all its tokens as output."""
    module = cls(**{"arch": ARCH, "img_size": 32, "patch_size": 8, "out_type": "raw", **settings})
    return randomised(module, seed=1)


def beit(**settings: Any) -> Any:
    return vit(BEiTViT, norm_cfg={"type": "LN", "eps": 1e-12}, **settings)


def eva02(**settings: Any) -> Any:
    return vit(ViTEVA02, norm_cfg={"type": "LN", "eps": 1e-6}, **settings)


def images(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all tensors of ``module``."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    """Return whether ``module`` is to the bit what it was."""
    after = module.state_dict()
    return list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)


def saved(tensors: dict[str, Tensor], path: Path) -> str:
    """Write a state dict as training scripts do."""
    torch.save({"state_dict": tensors}, path)
    return str(path)
