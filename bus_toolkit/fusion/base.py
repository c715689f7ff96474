"""What all fusions share: the settings of their layers, and visual tokens at the width of the text."""

from __future__ import annotations

import math

from torch import Tensor, nn

from bus_toolkit.layers import LayerSettings, match_width
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.structures import VisualTokens


class LayeredFusion(nn.Module):
    """Base of fusions that are a stack of equal layers at the width of the text.

    Args:
        text_dim: Width D of the text tokens and of all layers; filled in from the text encoder.
        embed_dim: Width of the visual tokens; filled in from the backbone. Another width than D goes through Linear +
            LayerNorm.
        num_layers: Depth, 1 or more.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: ``False`` is BERT's order of norms, ``True`` a ViT's, which trains more easily from scratch.

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
        self.num_layers = num_layers
        self.layer_settings = LayerSettings(
            width=text_dim, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout, norm_first=norm_first
        )
        self.visual_proj = match_width(embed_dim, text_dim)

    @staticmethod
    def key_mask(visual: VisualTokens, prior: Tensor | None) -> Tensor | None:
        """Return what ``memory_key_padding_mask`` of a reading layer takes: (B, V).

        torch adds a float mask of the keys to the logits of all heads and queries, so that a prior needs no copy for
        each query, and attention stays fused.

        Args:
            visual: Says which tokens must not be read.
            prior: What is added to the attention logits, (B, V); without it the mask is bool, or ``None``.
        """
        if prior is None:
            return visual.unread
        return prior if visual.unread is None else prior.masked_fill(visual.unread, -math.inf)

    def key_mask_of_images(self, visual: VisualTokens, prior: Tensor | None) -> Tensor | None:
        """As ``key_mask``, for a reading layer whose memory are ``visual.of_images``.

        Without a prior there is a row for each of these, unless ``visual.rows`` says which of them a text reads.
        """
        return visual.of_images.unread if prior is None and visual.rows is None else self.key_mask(visual, prior)

    @staticmethod
    def for_each_text(image: Tensor, visual: VisualTokens) -> Tensor:
        """Return the tokens of ``visual.of_images`` (M, V, D) for each row of ``visual``, (B, V, D)."""
        return repeat_rows(image, visual.texts) if visual.rows is None else image.index_select(0, visual.rows)

    def reading_layers(self) -> nn.ModuleList:
        """Return ``num_layers`` layers of self-attention, cross-attention and feed-forward."""
        return nn.ModuleList(self.layer_settings.reading_layer() for _ in range(self.num_layers))
