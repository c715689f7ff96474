"""ALBEF's fusion: text tokens read the image, layer by layer."""

from __future__ import annotations

from torch import nn

from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


def reading_layer(embed_dim: int, num_heads: int, mlp_ratio: float, dropout: float, norm_first: bool) -> nn.Module:
    """Return one layer ``FFN(CA(SA(text), visual))`` with residual connections."""
    return nn.TransformerDecoderLayer(
        embed_dim,
        num_heads,
        int(embed_dim * mlp_ratio),
        dropout,
        activation="gelu",
        batch_first=True,
        norm_first=norm_first,
    )


class CrossAttentionFusion(nn.Module):
    """Let the text read the image by cross-attention (salesforce/ALBEF:models/xbert.py). Goes into ``model.fusion``.

    Each layer is self-attention over the text, cross-attention to the visual tokens, feed-forward. The image is only
    read.

    Args:
        text_dim: Width D of the text tokens; filled in from the text encoder.
        embed_dim: Width of the visual tokens; filled in from the backbone. Another width than D goes through Linear +
            LayerNorm.
        num_layers: Depth.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: ``False`` is BERT's order (ALBEF), ``True`` a ViT's, which trains more easily from scratch.
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
        self.visual_proj = meet_width(embed_dim, text_dim)
        self.layers = nn.ModuleList(
            reading_layer(text_dim, num_heads, mlp_ratio, dropout, norm_first) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(text_dim) if norm_first else nn.Identity()

    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read."""
        image = self.visual_proj(visual.embeds)
        states = text.embeds
        for layer in self.layers:
            states = layer(states, image, tgt_key_padding_mask=~text.attention_mask)
        return FusedTokens(self.norm(states), image, text.attention_mask)


def meet_width(from_dim: int, to_dim: int) -> nn.Module:
    """Return the map between two widths: nothing when equal, else Linear + LayerNorm.

    The form is mPLUG's (X-PLUG/mPLUG:models/model_vqa_mplug.py).
    """
    if from_dim == to_dim:
        return nn.Identity()
    return nn.Sequential(nn.Linear(from_dim, to_dim), nn.LayerNorm(to_dim))
