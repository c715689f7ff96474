"""A layer of two-stream fusion in halves, so that tokens can be reduced between attention and feed-forward.

Together the halves are ``torch.nn.TransformerDecoderLayer``, in both orders of the norms; attention stays fused.

Shapes: B batch, n and m tokens, D width, H heads, E = D / H.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Read(NamedTuple):
    """What the attention half of a layer leaves.

    Attributes:
        states: The stream's tokens (B, n, D).
        own_keys: Keys (B, H, n, E) of its self-attention.
        queries: Queries (B, H, n, E) of its cross-attention.
        other_keys: Keys (B, H, m, E) of the other stream in that.
    """

    states: Tensor
    own_keys: Tensor
    queries: Tensor
    other_keys: Tensor


def attention_half(layer: Any, states: Tensor, other: Tensor, mask: Tensor, other_mask: Tensor | None = None) -> Read:
    """Run self-attention and cross-attention of a layer, residuals and norms included.

    Args:
        layer: A ``torch.nn.TransformerDecoderLayer`` with ``batch_first``.
        states: The stream's tokens (B, n, D).
        other: Tokens (B, m, D) of the other stream.
        mask: Which of the stream's tokens may be attended, bool (B, n).
        other_mask: Which of the other stream's, bool (B, m); all when not given.
    """
    read = layer.norm1(states) if layer.norm_first else states
    out, _, own_keys = _attend(layer.self_attn, read, read, mask)
    states = states + layer.dropout1(out)
    states = states if layer.norm_first else layer.norm1(states)
    read = layer.norm2(states) if layer.norm_first else states
    out, queries, other_keys = _attend(layer.multihead_attn, read, other, other_mask)
    states = states + layer.dropout2(out)
    return Read(states if layer.norm_first else layer.norm2(states), own_keys, queries, other_keys)


def feed_forward_half(layer: Any, states: Tensor) -> Tensor:
    """Run the feed-forward part of a layer, residual and norm included, on tokens (B, n, D)."""
    read = layer.norm3(states) if layer.norm_first else states
    out = layer.linear2(layer.dropout(layer.activation(layer.linear1(read))))
    states = states + layer.dropout3(out)
    return states if layer.norm_first else layer.norm3(states)


def _attend(attention: Any, queries: Tensor, memory: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output (B, n, D) of a ``torch.nn.MultiheadAttention`` and its queries and keys, (B, H, n or m, E)."""
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(tokens, weight, bias).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for tokens, weight, bias in zip((queries, memory, memory), weights, biases, strict=True)
    )
    allowed = None if mask is None else mask[:, None, None, :]
    dropout = attention.dropout if attention.training else 0.0
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
    return attention.out_proj(out.transpose(1, 2).flatten(2)), q, k
