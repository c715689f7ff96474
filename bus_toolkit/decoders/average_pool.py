"""Average pooling on the patch grid: the decoder without parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bus_toolkit.decoders.dense_grid import average_cells, check_cells, dense_tokens, square_side
from bus_toolkit.structures import TextTokens, VisualTokens


class AveragePool(nn.Module):
    """Average the patches of each cell of a coarse grid (``AveragePool``). Goes into ``model.decoder``.

    The baseline of Honeybee (arXiv 2312.06742) and others: adaptive average pooling. That dropped patches do not count
    is our choice; so a cell without any kept patch is zero, and a fused or merged token counts once for each patch that
    ended in it. The global token comes through as it is. The text is not read.

    Args:
        num_queries: Tokens that come out beside the global one; a square number, the grid of cells.

    Raises:
        ValueError: ``num_queries`` is not a square number.
        ComponentError: In ``check_tokens`` and ``forward``, more cells than patches along an axis; in
            ``forward``, tokens without an origin.
    """

    def __init__(self, *, num_queries: int = 64) -> None:
        super().__init__()
        self.side = square_side(num_queries)

    def check_tokens(self, num_tokens: int, grid: tuple[int, int]) -> None:
        """Refuse more cells than patches along an axis of ``grid``; how many tokens are left does not matter."""
        check_cells(self.side, grid)

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Pool ``visual`` (B, P + S, D) into (B, 1 + Q, D)."""
        dense, present = dense_tokens(visual, "AveragePool")
        pooled = average_cells(dense, present, visual.grid, self.side)
        # The global token has no place on the grid: (B, 1, D) and (B, Q, D) -> (B, 1 + Q, D).
        embeds = torch.cat([visual.embeds[:, :1], pooled], dim=1)
        return replace(visual, embeds=embeds, num_prefix=1, origin=None, scores=None, unread=None)
