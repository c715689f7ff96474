"""Where Hugging Face's vision towers keep their parts in transformers 4 and in 5; asked of the modules themselves.

Written against transformers 4.57.6 and 5.24.0. Version 5 flattened CLIP's and SigLIP's towers and the blocks of ViT,
and named the projections of ViT and DINOv2 as those of other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

_INNER = "vision_model"
_UNCHANGED = nn.Identity()


@dataclass(frozen=True)
class AttentionParts:
    """The attention of a block of ViT or DINOv2.

    Attributes:
        projections: Query, key and value.
        output: The linear layer after the mixed values.
        drop: What follows it, before layer scale and residual.
        dropout: The dropout probability of the attention weights.
        core: The module that has ``num_attention_heads`` and ``scaling``.
        bypassed: The modules that are not called when the parts are.
    """

    projections: tuple[nn.Module, nn.Module, nn.Module]
    output: nn.Module
    drop: nn.Module
    dropout: float
    core: Any
    bypassed: Sequence[nn.Module]


def attention_parts(layer: Any) -> AttentionParts:
    """Return the parts of the attention of a block of ViT or DINOv2.

    Raises:
        AttributeError: The block is built as in neither version.
    """
    outer = layer.attention
    if hasattr(outer, "q_proj"):  # 5
        drop = getattr(layer, "dropout", _UNCHANGED)  # DINOv2 has none
        projections = (outer.q_proj, outer.k_proj, outer.v_proj)
        return AttentionParts(projections, outer.o_proj, drop, outer.attention_dropout, outer, (layer, outer))
    inner, out = outer.attention, outer.output
    projections = (inner.query, inner.key, inner.value)
    bypassed = (layer, outer, inner, out)
    return AttentionParts(projections, out.dense, out.dropout, inner.dropout_prob, inner, bypassed)


def vit_blocks(vit: Any) -> Any:
    """Return the list of the blocks of a ``ViTModel``."""
    return vit.layers if hasattr(vit, "layers") else vit.encoder.layer


def vit_feed_forward_half(layer: Any, tokens: Tensor) -> Tensor:
    """Return ``tokens`` after the feed-forward part of a block of ViT, residual included."""
    normed = layer.layernorm_after(tokens)
    if hasattr(layer, "mlp"):  # 5
        return layer.dropout(layer.mlp(normed)) + tokens
    return layer.output(layer.intermediate(normed), tokens)


def inner_tower(vit: Any) -> tuple[Any, str]:
    """Return the module with the parts of CLIP's or SigLIP's tower, and the start of their names in the state dict."""
    return (getattr(vit, _INNER), f"{_INNER}.") if hasattr(vit, _INNER) else (vit, "")
