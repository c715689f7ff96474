"""What the token-reducing host needs to know about the inside of OpenMMLab's vision transformers.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/vision_transformer.py``; nothing else in the
toolkit touches these attributes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import CheckpointError, ComponentError

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


def check_positions(vit: Any, table: Tensor) -> None:
    """Refuse position embeddings (1, P + N, D) of a checkpoint that the transformer cannot interpolate to its own grid.

    It interpolates those of another length by itself (``_prepare_pos_embed``, ``interpolate_mode``, prefix tokens left
    as they are), and takes their grid for a square: the table does not tell.

    Raises:
        CheckpointError: Another number of patches, and no square one.
    """
    patches, own = table.shape[1] - vit.num_extra_tokens, vit.patch_resolution[0] * vit.patch_resolution[1]
    if patches != own and math.isqrt(max(patches, 0)) ** 2 != patches:
        raise CheckpointError(
            f"model.backbone: the checkpoint has position embeddings of {patches} patches, got a model of {own}. Those "
            "of another image size are interpolated if they are of a square image. Use the img_size of the checkpoint."
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


def attention_half(
    layer: Any, tokens: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return ``tokens`` behind a block's attention, residual included, and the queries, keys and values that it used.

    Equals ``tokens + layer.attn(layer.ln1(tokens))`` bit for bit without a bias; the kernel stays fused.

    Args:
        layer: A block.
        tokens: (B, n, D).
        bias: Added to the logits of each key, (B, n).

    Returns:
        Tokens (B, n, D), and queries, keys and values (B, H, n, E).
    """
    used = queries_keys_values(layer, tokens)
    return _attended(layer, tokens, used, bias), used


def read_block(
    layer: Any, vectors: Tensor, tokens_used: tuple[Tensor, Tensor, Tensor], bias: Tensor | None = None
) -> Tensor:
    """Return extra tokens (B, M, D) behind a block whose queries, keys and values they read, but do not change."""
    queries = _by_head(project_query(layer, layer.ln1(vectors)), layer.attn.num_heads)
    return feed_forward_half(layer, _attended(layer, vectors, (queries, *tokens_used[1:]), bias))


def queries_keys_values(layer: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a block's attention makes of tokens (B, n, D), each (B, H, n, E)."""
    attn = layer.attn
    qkv = attn.qkv(layer.ln1(tokens)).unflatten(2, (3, attn.num_heads, attn.head_dims))
    queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return queries, keys, values


def _attended(layer: Any, tokens: Tensor, states: tuple[Tensor, Tensor, Tensor], bias: Tensor | None = None) -> Tensor:
    """Return ``tokens`` (B, n, D) plus the attention of their queries, keys and values."""
    attn = layer.attn
    mask = None if bias is None else bias.to(states[0].dtype)[:, None, None, :]
    out = F.scaled_dot_product_attention(*states, attn_mask=mask, dropout_p=attn.attn_drop if attn.training else 0.0)
    out = attn.proj(out.transpose(1, 2).flatten(2))
    return tokens + attn.out_drop(attn.gamma1(attn.proj_drop(out)))


def feed_forward_half(layer: Any, tokens: Tensor) -> Tensor:
    """Return ``tokens`` behind a block's feed-forward part, residual included."""
    return layer.ffn(layer.ln2(tokens), identity=tokens)


def queries_and_keys(layer: Any, tokens: Tensor, num_queries: int) -> tuple[Tensor, Tensor]:
    """Return the queries of the first tokens, (B, H, num_queries, E), and all keys (B, H, n, E), at D^2 MACs each."""
    attn, normed = layer.attn, layer.ln1(tokens)
    width = normed.shape[2]
    weight, bias = attn.qkv.weight, attn.qkv.bias
    keys = F.linear(normed, weight[width : 2 * width], None if bias is None else bias[width : 2 * width])
    queries = project_query(layer, normed[:, :num_queries])
    return _by_head(queries, attn.num_heads), _by_head(keys, attn.num_heads)


def project_query(layer: Any, vectors: Tensor) -> Tensor:
    """Return the block's query projection (..., D) of ``vectors`` (..., D)."""
    qkv, width = layer.attn.qkv, vectors.shape[-1]
    return F.linear(vectors, qkv.weight[:width], None if qkv.bias is None else qkv.bias[:width])


def _by_head(states: Tensor, num_heads: int) -> Tensor:
    return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)
