"""Transformer layers that fusions and decoders are made of: torch's own, with the settings that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """The settings of one transformer layer, and the layers made from them.

    Args:
        width: Width D of the tokens.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: ``False`` puts the norm after each residual connection (BERT), ``True`` before each sub-layer (ViT).
    """

    width: int
    num_heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    norm_first: bool = False

    def reading_layer(self) -> ReadingLayer:
        """Return a layer ``FFN(CA(SA(x), memory))`` with residual connections."""
        return ReadingLayer(**self._arguments())

    def joint_layer(self) -> nn.TransformerEncoderLayer:
        """Return a layer ``FFN(SA(x))`` with residual connections."""
        return nn.TransformerEncoderLayer(**self._arguments())

    def closing_norm(self) -> nn.Module:
        """Return what follows the last layer: with ``norm_first`` nothing has normalised its output yet."""
        return nn.LayerNorm(self.width) if self.norm_first else nn.Identity()

    def _arguments(self) -> dict[str, Any]:
        return {
            "d_model": self.width,
            "nhead": self.num_heads,
            "dim_feedforward": feed_forward_width(self.width, self.mlp_ratio),
            "dropout": self.dropout,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": self.norm_first,
        }


class ReadingLayer(nn.TransformerDecoderLayer):
    """torch's layer, whose memory may be that of several texts in a row.

    Texts (B, L, D) then read a memory (B / Q, V, D): its keys and values are projected once for Q texts, which saves
    ``2 V D^2`` of ``2 V D^2 + 2 L V D + 2 L D^2`` MACs in all but one of them. The key mask is (B / Q, V), or (B, V) in
    floats that are added to the logits of each text.
    """

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        *masks: Any,
        rows: Tensor | None = None,
        first_only: bool = False,
        **more_masks: Any,
    ) -> Tensor:
        """Return the tokens (B, L, D) after this layer.

        Args:
            tgt: Tokens (B, L, D).
            memory: What they read, (M, V, D).
            *masks: As torch's.
            rows: int64 (B,), which of the memories each text reads; of each, keys and values are projected once. The
                key mask of the memory is then one for each text.
            first_only: Return the first token alone, (B, 1, D): of the others only keys and values are computed.
            **more_masks: As torch's; with one of the two arguments above none but the two key masks, by name.
        """
        if rows is None and not first_only:
            return super().forward(tgt, memory, *masks, **more_masks)
        return self._run(tgt, memory, rows, 1 if first_only else tgt.shape[1], **more_masks)

    def _run(
        self,
        x: Tensor,
        mem: Tensor,
        rows: Tensor | None,
        count: int,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the first ``count`` tokens after this layer."""
        keys = self.norm1(x) if self.norm_first else x
        out = self.self_attn(keys[:, :count], keys, keys, key_padding_mask=tgt_key_padding_mask, need_weights=False)[0]
        x = x[:, :count] + self.dropout1(out)
        if self.norm_first:
            x = x + self._read(self.norm2(x), mem, rows, memory_key_padding_mask)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x)
        x = self.norm2(x + self._read(x, mem, rows, memory_key_padding_mask))
        return self.norm3(x + self._ff_block(x))

    def _read(self, x: Tensor, mem: Tensor, rows: Tensor | None, unread: Tensor | None) -> Tensor:
        if rows is None:
            return self._mha_block(x, mem, None, unread)
        attention, width = self.multihead_attn, x.shape[-1]
        assert attention.in_proj_bias is not None, "these layers have biases"
        (query, pair), (query_bias, pair_bias) = (
            part.split([width, 2 * width]) for part in (attention.in_proj_weight, attention.in_proj_bias)
        )
        # (M, V, 2 D) -> (B, V, 2 D): copies in the place of products.
        key, value = F.linear(mem, pair, pair_bias).index_select(0, rows).chunk(2, dim=-1)
        q, k, v = (  # (B, H, ., E)
            part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for part in (F.linear(x, query, query_bias), key, value)
        )
        mask = None
        if unread is not None:  # (B, V) -> (B, 1, 1, V): a sum as it is, or what may be read
            mask = (~unread if unread.dtype is torch.bool else unread)[:, None, None]
        dropout = attention.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.dropout2(attention.out_proj(read.transpose(1, 2).flatten(2)))

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        count = x.shape[0] // mem.shape[0]
        if count == 1:
            return super()._mha_block(x, mem, attn_mask, key_padding_mask, is_causal)
        length = x.shape[1]
        queries = x.unflatten(0, (-1, count)).flatten(1, 2)  # (B, L, D) -> (B / Q, Q * L, D)
        if key_padding_mask is not None and key_padding_mask.shape[0] > mem.shape[0]:
            # Each query has the keys of its text: (B, V) -> (B / Q, 1, Q, 1, V) -> (B / Q * H, Q * L, V).
            keys = key_padding_mask.unflatten(0, (-1, 1, count, 1))
            keys = keys.expand(-1, self.multihead_attn.num_heads, -1, length, -1)
            attn_mask, key_padding_mask = keys.flatten(2, 3).flatten(0, 1), None
        read = super()._mha_block(queries, mem, attn_mask, key_padding_mask, is_causal)
        return read.unflatten(1, (count, length)).flatten(0, 1)


def feed_forward_width(width: int, mlp_ratio: float) -> int:
    """Return the width of the feed-forward part of a layer of ``width``.

    Raises:
        ValueError: It would be below 1, or without end.
    """
    if not 1.0 <= width * mlp_ratio < math.inf:
        raise ValueError(f"mlp_ratio: times the width {width} must be 1 or more, and finite, got {mlp_ratio}.")
    return int(width * mlp_ratio)


def match_width(from_dim: int, to_dim: int) -> nn.Module:
    """Return the map between two widths: nothing when equal, else Linear + LayerNorm.

    The form is mPLUG's (X-PLUG/mPLUG:models/model_vqa_mplug.py).
    """
    if from_dim == to_dim:
        return nn.Identity()
    return nn.Sequential(nn.Linear(from_dim, to_dim), nn.LayerNorm(to_dim))
