"""The patch abstraction decoder of BUS."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.layers import LayerSettings
from bus_toolkit.ops.make_plans import top_indices
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.structures import TextTokens, VisualTokens


class PatchAbstractionDecoder(nn.Module):
    """Condense the selected patches into fewer tokens by cross-attention (``PAD``). Goes into ``model.decoder``.

    BUS (arXiv 2307.08504, abstract; the CVF abstract calls it a light summarisation decoder on the selected patches)
    puts a Transformer decoder on top of the ViT. Its queries were not readable; both readings are here. ``topk``: the
    best-scored tokens that the selector left are the queries, so that they depend on the text. ``learned``: free
    vectors, as in a Q-Former. That the global token is query 0, that there are no further positions, that a query from
    a token keeps its score (for ``SelectorScorePrior``: it starts from this token, and residual connections carry it
    on), and the order of the norms are our choice. Layers are ``torch.nn.TransformerDecoderLayer`` (self-attention of
    the queries, cross-attention to all visual tokens, feed-forward). Depth and length are our choice.

    Args:
        embed_dim: Width D; filled in from the backbone.
        num_layers: Depth, 1 or more.
        num_queries: Tokens that come out beside the global one; with ``topk`` at most as many as come in. ``None``:
            half of those.
        num_heads: Attention heads.
        query_init: ``topk`` or ``learned``.
        text_in_memory: Whether the queries read the text tokens too (needs equal widths).
        mlp_ratio: Width of the feed-forward part as a multiple of D.
        dropout: Dropout probability.
        norm_first: Whether layer norm comes first in each sub-layer, as in a ViT.

    Raises:
        ValueError: ``num_queries`` missing for learned queries, an unknown ``query_init``, or a number out of range.
        ComponentError: In ``check_tokens`` and ``forward``, more queries from patches than patches are left.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_layers: int = 2,
        num_queries: int | None = None,
        num_heads: int = 12,
        query_init: Literal["topk", "learned"] = "topk",
        text_in_memory: bool = False,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        if query_init not in ("topk", "learned"):
            raise ValueError(f"query_init: must be topk or learned, got {query_init!r}.")
        if num_layers < 1:
            raise ValueError(f"num_layers: must be 1 or more, got {num_layers}.")
        if num_queries is not None and num_queries < 1:
            raise ValueError(f"num_queries: must be 1 or more, got {num_queries}.")
        if query_init == "learned" and num_queries is None:
            raise ValueError("num_queries: learned queries need a number, got None. Write e.g. num_queries: 64.")
        self.num_queries = num_queries
        self.reads_text = text_in_memory
        self.queries = None
        if query_init == "learned" and num_queries is not None:
            self.queries = nn.Parameter(torch.randn(1, num_queries, embed_dim) * 0.02)
        layer = LayerSettings(
            width=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout, norm_first=norm_first
        )
        self.layers = nn.ModuleList(layer.reading_layer() for _ in range(num_layers))
        self.norm = layer.closing_norm()

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Summarise ``visual`` (B, P + S, D) into (B, 1 + Q, D); ``text`` is read with ``text_in_memory``."""
        # The global token is query 0, so that it is updated like the others: (B, 1 + Q, D).
        queries, scores = self._queries(visual)
        tokens = torch.cat([visual.embeds[:, :1], queries], dim=1)
        memory, padding = visual.embeds, visual.unread
        if self.reads_text and text is not None:
            memory = torch.cat([memory, text.embeds], dim=1)  # (B, P + S + L, D)
            unread = text.attention_mask.new_zeros(visual.embeds.shape[:2]) if padding is None else padding
            padding = torch.cat([unread, ~text.attention_mask], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, memory, memory_key_padding_mask=padding)
        return replace(visual, embeds=self.norm(tokens), num_prefix=1, origin=None, scores=scores, unread=None)

    def check_tokens(self, num_tokens: int, grid: tuple[int, int]) -> None:
        """Refuse more queries from patches than there are.

        Args:
            num_tokens: The fewest visual tokens, without prefix, that reach it.
            grid: Rows and columns of the patches; they do not matter here.

        Raises:
            ComponentError: There are fewer.
        """
        if self.queries is None and self.num_queries is not None and self.num_queries > num_tokens:
            raise ComponentError(
                f"model.decoder.num_queries: must be between 1 and {num_tokens} (the fewest visual tokens that reach "
                f"it, with a scheduled keep_ratio at its lowest), got {self.num_queries}. Lower it or raise the "
                "selectors' keep_ratio."
            )

    def _queries(self, visual: VisualTokens) -> tuple[Tensor, Tensor | None]:
        """Return the initial queries (B, Q, D), and the selector's score (B, Q) of the tokens that they are."""
        if self.queries is not None:
            return self.queries.expand(visual.embeds.shape[0], -1, -1), None
        patches = visual.embeds[:, visual.num_prefix :]
        available = patches.shape[1]
        self.check_tokens(available, visual.grid)
        count = max(1, available // 2) if self.num_queries is None else self.num_queries
        scores = visual.scores
        if scores is None:
            # No selector scored anything: likeness to the global token decides (our choice; the source is silent).
            scores = torch.bmm(patches, visual.cls.unsqueeze(-1)).squeeze(-1)  # (B, S, D) x (B, D, 1) -> (B, S)
        if visual.unread is not None:
            scores = scores.masked_fill(visual.unread[:, visual.num_prefix :], torch.finfo(scores.dtype).min)
        # Detached: which tokens are the queries is a choice, through which no gradient can flow.
        chosen = top_indices(scores.detach(), count)  # (B, Q)
        return gather_tokens(patches, chosen), None if visual.scores is None else visual.scores.gather(1, chosen)
