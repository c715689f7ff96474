"""What the token-reducing host needs to know about the inside of OpenMMLab's vision transformers.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/vision_transformer.py``; nothing else in the
toolkit touches these attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError

VIT_PARTS = (
    "patch_embed",
    "pos_embed",
    "cls_token",
    "layers",
    "drop_after_pos",
    "pre_norm",
    "final_norm",
    "embed_dims",
    "num_extra_tokens",
    "resize_pos_embed",
    "interpolate_mode",
    "patch_resolution",
)
BLOCK_PARTS = ("ln1", "attn", "ln2", "ffn")


def vision_transformer(**settings: Any) -> Any:
    """Build mmpretrain's transformer with all its tokens as output; imported only now, so that others work without."""
    from mmpretrain.models import VisionTransformer

    return VisionTransformer(out_type="raw", **settings)


def check_vit(vit: Any) -> None:
    """Refuse a backbone whose tokens cannot be dropped between blocks.

    Raises:
        ComponentError: It lacks a part of a plain vision transformer; the message names the parts.
    """
    missing = [name for name in VIT_PARTS if not hasattr(vit, name)]
    if not missing:
        missing = [f"layers[i].{name}" for name in BLOCK_PARTS if not hasattr(vit.layers[0], name)]
    if missing:
        raise ComponentError(
            f"model.backbone: {type(vit).__name__} has no {', '.join(missing)}. Selectors need a plain vision "
            "transformer, whose tokens pass through every block as one sequence. Use mmpretrain.VisionTransformer."
        )
    if vit.cls_token is None or vit.num_extra_tokens != 1:
        raise ComponentError(
            f"model.backbone: {type(vit).__name__} has {vit.num_extra_tokens} tokens beside the patches. The heads "
            "read one global token, and this host knows no others. Set with_cls_token: true, or use "
            "mmpretrain.VisionTransformer."
        )
    if vit.pos_embed is None:
        raise ComponentError(
            f"model.backbone: {type(vit).__name__} is built without position embeddings at its input. Patches keep "
            "theirs when others are dropped. Use a class that adds them."
        )


def embed_patches(vit: Any, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the tokens (B, P + N, D) that enter the first block and the patch grid (rows, columns)."""
    patches, grid = vit.patch_embed(images)
    tokens = torch.cat([vit.cls_token.expand(images.shape[0], -1, -1), patches], dim=1)
    tokens = tokens + vit.resize_pos_embed(
        vit.pos_embed,
        vit.patch_resolution,
        grid,
        mode=vit.interpolate_mode,
        num_extra_tokens=vit.num_extra_tokens,
    )
    return vit.pre_norm(vit.drop_after_pos(tokens)), (int(grid[0]), int(grid[1]))


def block_halves(layer: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return the attention half and the feed-forward half of a block, residual connections included."""

    def attention(tokens: Tensor) -> Tensor:
        return tokens + layer.attn(layer.ln1(tokens))

    def feed_forward(tokens: Tensor) -> Tensor:
        return layer.ffn(layer.ln2(tokens), identity=tokens)

    return attention, feed_forward


def cls_attention(layer: Any, tokens: Tensor) -> Tensor:
    """Return the CLS token's attention (B, P + N) in a block that reads ``tokens``, averaged over the heads.

    Only the CLS row is computed: one query, all keys; D^2 MACs a token for the keys and nothing of size N x N.
    """
    attn = layer.attn
    normed = layer.ln1(tokens)
    batch, num_tokens, width = normed.shape
    weight, bias = attn.qkv.weight, attn.qkv.bias
    query_bias, key_bias = (None, None) if bias is None else (bias[:width], bias[width : 2 * width])
    query = F.linear(normed[:, :1], weight[:width], query_bias).view(batch, 1, attn.num_heads, -1).transpose(1, 2)
    keys = F.linear(normed, weight[width : 2 * width], key_bias).view(batch, num_tokens, attn.num_heads, -1)
    logits = query @ keys.permute(0, 2, 3, 1) / attn.head_dims**0.5
    return logits.softmax(dim=-1).mean(dim=1).squeeze(1)
