"""The querying transformer of BLIP-2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from bus_toolkit.layers import feed_forward_width
from bus_toolkit.structures import TextTokens, VisualTokens


class QFormer(nn.Module):
    """Let learned queries read the image, and on request the text. Goes into ``model.decoder``.

    BLIP-2 (arXiv 2301.12597, section 3.1): BERT layers in which queries and text share the self-attention, only the
    queries read the image (in the first of every ``cross_every`` layers), and each has a feed-forward part of its own
    (salesforce/LAVIS:lavis/models/blip2_models/Qformer.py). Queries and text see each other, BLIP-2's mask for
    image-text matching; the padding of the text is never read. Our choice: the global token is query 0 and is updated
    like the learned ones; the text comes from the text encoder, not from word embeddings, and without the norm after
    those; the last layer's text is read, not written; norms first, which train more easily from scratch; depth.

    Args:
        embed_dim: Width D; filled in from the backbone.
        num_layers: Depth, 1 or more (BLIP-2: 12).
        num_queries: Learned queries, which come out beside the global token.
        num_heads: Attention heads.
        cross_every: Distance of two layers that read the image, 1 or more.
        with_text: Whether the text tokens share the self-attention (needs equal widths).
        mlp_ratio: Width of the feed-forward parts as a multiple of D.
        norm_first: Whether layer norm comes first in each sub-layer; ``False`` is BERT's order.

    Raises:
        ValueError: ``num_layers``, ``num_queries`` or ``cross_every`` below 1.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_layers: int = 4,
        num_queries: int = 32,
        num_heads: int = 12,
        cross_every: int = 2,
        with_text: bool = False,
        mlp_ratio: float = 4.0,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("num_layers", num_layers), ("num_queries", num_queries), ("cross_every", cross_every)):
            if value < 1:
                raise ValueError(f"{name}: must be 1 or more, got {value}.")
        self.reads_text = with_text
        self.queries = nn.Parameter(torch.randn(1, num_queries, embed_dim) * 0.02)
        hidden_dim = feed_forward_width(embed_dim, mlp_ratio)
        self.layers = nn.ModuleList(
            _QFormerLayer(
                embed_dim,
                num_heads,
                hidden_dim,
                norm_first=norm_first,
                reads_image=index % cross_every == 0,
                writes_text=with_text and index < num_layers - 1,
            )
            for index in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim) if norm_first else nn.Identity()

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Condense ``visual`` (B, P + S, D) into (B, 1 + Q, D); ``text`` (B, L, D) is read with ``with_text``."""
        image = visual.embeds
        # The global token is query 0: (B, 1 + Q, D).
        queries = torch.cat([image[:, :1], self.queries.expand(image.shape[0], -1, -1)], dim=1)
        words, padding = None, None
        if self.reads_text and text is not None:
            words = text.embeds
            seen = text.attention_mask.new_ones(queries.shape[:2])
            padding = ~torch.cat([seen, text.attention_mask], dim=1)  # (B, 1 + Q + L): queries are never padding
        for layer in self.layers:
            queries, words = layer(queries, words, image, padding, visual.unread)
        return replace(visual, embeds=self.norm(queries), num_prefix=1, origin=None, scores=None, unread=None)


class _QFormerLayer(nn.Module):
    """Shared self-attention, the queries' cross-attention, and a feed-forward part for each kind of token."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_dim: int,
        *,
        norm_first: bool,
        reads_image: bool,
        writes_text: bool,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.self_norm = nn.LayerNorm(embed_dim)
        self.cross_attention = None
        if reads_image:
            self.cross_attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
            self.cross_norm = nn.LayerNorm(embed_dim)
        self.query_mlp, self.query_norm = _mlp(embed_dim, hidden_dim), nn.LayerNorm(embed_dim)
        self.text_mlp = None
        if writes_text:
            self.text_mlp, self.text_norm = _mlp(embed_dim, hidden_dim), nn.LayerNorm(embed_dim)

    def forward(
        self,
        queries: Tensor,
        words: Tensor | None,
        image: Tensor,
        padding: Tensor | None,
        unread: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the new queries (B, 1 + Q, D) and words (B, L, D).

        ``padding`` (B, 1 + Q + L) is true for no token, ``unread`` (B, P + S) for visual tokens that hold nothing.
        """
        # Queries and text share the self-attention, and part again after it: (B, 1 + Q + L, D).
        count, states = queries.shape[1], queries if words is None else torch.cat([queries, words], dim=1)
        attend, cross = self.self_attention, self.cross_attention
        states = self._add(
            states, self.self_norm, lambda x: attend(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        )
        queries = states[:, :count]
        if cross is not None:
            # Only the queries read the image: the text sees it through them.
            queries = self._add(
                queries,
                self.cross_norm,
                lambda x: cross(x, image, image, key_padding_mask=unread, need_weights=False)[0],
            )
        if words is not None and self.text_mlp is not None:
            words = self._add(states[:, count:], self.text_norm, self.text_mlp)
        return self._add(queries, self.query_norm, self.query_mlp), words

    def _add(self, states: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add what ``part`` makes of the states, with the norm before or after."""
        return states + part(norm(states)) if self.norm_first else norm(states + part(states))


def _mlp(embed_dim: int, hidden_dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, embed_dim))
