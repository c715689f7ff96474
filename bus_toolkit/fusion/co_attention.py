"""METER's fusion: text and image are two streams that read each other."""

from __future__ import annotations

import torch
from torch import nn

from bus_toolkit.fusion.cross_attention import meet_width, reading_layer
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


class CoAttentionFusion(nn.Module):
    """Let text and image read each other, layer by layer, in streams of their own. Goes into ``model.fusion``.

    Each layer of each stream is self-attention, cross-attention to the other stream as it was before this layer, and
    feed-forward; the global token of the pair is ``tanh`` of a linear map of both streams' first tokens (METER, arXiv
    2111.02387; guoyang9/ELIP:METER/meter/modules/meter_module.py pools each stream and concatenates: one map for both
    is our choice, so that heads see one width).

    Args:
        text_dim: Width D of both streams; filled in from the text encoder.
        embed_dim: Width of the visual tokens; filled in from the backbone. Another width than D goes through Linear +
            LayerNorm.
        num_layers: Depth, 1 or more.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: ``False`` is BERT's order (METER), ``True`` a ViT's.

    Raises:
        ValueError: ``num_layers`` below 1.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        embed_dim: int,
        num_layers: int = 6,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers: must be 1 or more, got {num_layers}.")
        self.visual_proj = meet_width(embed_dim, text_dim)

        def stream() -> nn.ModuleList:
            return nn.ModuleList(
                reading_layer(text_dim, num_heads, mlp_ratio, dropout, norm_first) for _ in range(num_layers)
            )

        self.text_layers, self.image_layers = stream(), stream()
        self.text_norm = nn.LayerNorm(text_dim) if norm_first else nn.Identity()
        self.image_norm = nn.LayerNorm(text_dim) if norm_first else nn.Identity()
        self.pool = nn.Linear(2 * text_dim, text_dim)

    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read."""
        image, states = self.visual_proj(visual.embeds), text.embeds
        padding = ~text.attention_mask
        for read_image, read_text in zip(self.text_layers, self.image_layers, strict=True):
            states, image = (
                read_image(states, image, tgt_key_padding_mask=padding),
                read_text(image, states, memory_key_padding_mask=padding),
            )
        states, image = self.text_norm(states), self.image_norm(image)
        pooled = torch.tanh(self.pool(torch.cat([states[:, 0], image[:, 0]], dim=1)))
        return FusedTokens(states, image, text.attention_mask, pooled)
