"""mPLUG's fusion: the text reads the image, and every few layers both are processed together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bus_toolkit.fusion.cross_attention import meet_width, reading_layer
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


class SkipConnectedFusion(nn.Module):
    """Cross-modal skip-connected fusion (X-PLUG/mPLUG:models/modeling_mplug.py). Goes into ``model.fusion``.

    Layer j (from 0) is a reading layer ``T <- FFN(CA(SA(T), V))``, unless j > 0 and j is a multiple of ``stride``. Then
    it is a connected layer: ``[V'; T'] = FFN(SA([V; T]))``, ``V <- V + V'``, ``T <- T'``.

    Args:
        text_dim: Width D of the text tokens; filled in from the text encoder.
        embed_dim: Width of the visual tokens; filled in from the backbone.
        num_layers: Depth.
        stride: Distance of the connected layers; as large as ``num_layers`` means none.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: ``False`` is BERT's order (mPLUG), ``True`` a ViT's.

    Raises:
        ValueError: ``stride`` below 1.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        embed_dim: int,
        num_layers: int = 6,
        stride: int = 3,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride: must be 1 or more, got {stride}.")
        self.visual_proj = meet_width(embed_dim, text_dim)
        self.connected = [j > 0 and j % stride == 0 for j in range(num_layers)]
        self.layers = nn.ModuleList(
            _connected_layer(text_dim, num_heads, mlp_ratio, dropout, norm_first)
            if connected
            else reading_layer(text_dim, num_heads, mlp_ratio, dropout, norm_first)
            for connected in self.connected
        )
        self.norm = nn.LayerNorm(text_dim) if norm_first else nn.Identity()

    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read."""
        image, states = self.visual_proj(visual.embeds), text.embeds
        padding = ~text.attention_mask
        for layer, connected in zip(self.layers, self.connected, strict=True):
            if connected:
                image, states = _run_connected(layer, image, states, padding)
            else:
                states = layer(states, image, tgt_key_padding_mask=padding)
        return FusedTokens(self.norm(states), image, text.attention_mask)


def _connected_layer(embed_dim: int, num_heads: int, mlp_ratio: float, dropout: float, norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(
        embed_dim,
        num_heads,
        int(embed_dim * mlp_ratio),
        dropout,
        activation="gelu",
        batch_first=True,
        norm_first=norm_first,
    )


def _run_connected(layer: nn.Module, image: Tensor, states: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
    num_visual = image.shape[1]
    all_padding = torch.cat([padding.new_zeros(image.shape[:2]), padding], dim=1)
    out = layer(torch.cat([image, states], dim=1), src_key_padding_mask=all_padding)
    return image + out[:, :num_visual], out[:, num_visual:]
