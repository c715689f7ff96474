"""The Perceiver resampler of Flamingo."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from bus_toolkit.layers import feed_forward_width
from bus_toolkit.structures import TextTokens, VisualTokens


class PerceiverResampler(nn.Module):
    """Let learned latents read the image and one another in one attention. Goes into ``model.decoder``.

    Flamingo (arXiv 2204.14198, section 2.1): keys and values are ``[image ; latents]``, so that a layer needs no
    self-attention of its own. Norms as in lucidrains/flamingo-pytorch:flamingo_pytorch.py: separate ones for image and
    latents, one before the feed-forward part, one at the end. Left out: time embeddings, which distinguish
    the frames of a video. Our choice: the global token is latent 0 and is updated like the learned ones, attention is
    ``torch.nn.MultiheadAttention`` (with biases) at the image's width, and the depth. The text is not read.

    Args:
        embed_dim: Width D; filled in from the backbone.
        num_layers: Depth, 1 or more (Flamingo: 6).
        num_queries: Learned latents, which come out beside the global token.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward part as a multiple of D.

    Raises:
        ValueError: ``num_layers`` or ``num_queries`` below 1.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_layers: int = 2,
        num_queries: int = 64,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        for name, value in (("num_layers", num_layers), ("num_queries", num_queries)):
            if value < 1:
                raise ValueError(f"{name}: must be 1 or more, got {value}.")
        self.latents = nn.Parameter(torch.randn(1, num_queries, embed_dim) * 0.02)
        self.layers = nn.ModuleList(_ResamplerLayer(embed_dim, num_heads, mlp_ratio) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Resample ``visual`` (B, P + S, D) into (B, 1 + Q, D)."""
        image = visual.embeds
        latents = torch.cat([image[:, :1], self.latents.expand(image.shape[0], -1, -1)], dim=1)
        unread = None  # (B, P + S + 1 + Q): latents are always read
        if visual.unread is not None:
            unread = torch.cat([visual.unread, visual.unread.new_zeros(latents.shape[:2])], dim=1)
        for layer in self.layers:
            latents = layer(latents, image, unread)
        return replace(visual, embeds=self.norm(latents), num_prefix=1, origin=None, scores=None, unread=None)


class _ResamplerLayer(nn.Module):
    """Attention of the latents to ``[image ; latents]``, then a feed-forward part, both residual."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden_dim = feed_forward_width(embed_dim, mlp_ratio)
        self.norm_image = nn.LayerNorm(embed_dim)
        self.norm_latents = nn.LayerNorm(embed_dim)
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(embed_dim), nn.Linear(embed_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, embed_dim)
        )

    def forward(self, latents: Tensor, image: Tensor, unread: Tensor | None = None) -> Tensor:
        """Update ``latents`` (B, 1 + Q, D) from ``image`` (B, P + S, D) and themselves, but for what is ``unread``."""
        asking = self.norm_latents(latents)
        # The latents are keys too, which is why a layer needs no self-attention: (B, P + S + 1 + Q, D).
        memory = torch.cat([self.norm_image(image), asking], dim=1)
        latents = latents + self.attention(asking, memory, memory, key_padding_mask=unread, need_weights=False)[0]
        return latents + self.feed_forward(latents)
