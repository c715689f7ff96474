"""The convolutional abstractor of Honeybee."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.decoders.dense_grid import average_cells, check_cells, dense_tokens, square_side
from bus_toolkit.structures import TextTokens, VisualTokens


class CAbstractor(nn.Module):
    """Condense the patch grid by convolutions around an average pool (``CAbstractor``). Goes into ``model.decoder``.

    Honeybee (arXiv 2312.06742; khanrc/honeybee:honeybee/projectors/projectors.py): RegNet blocks, adaptive
    average pool, RegNet blocks, two linear layers; its norms are layer norms over the channels too, so no sample
    depends on its batch mates. Left out: its learned position embeddings, as the backbone's tokens carry theirs. Our
    choice: dropped patches enter as zeros and count in the pool (the blocks before it have filled them from their
    neighbours), fused or merged patches take the token they ended in; a layer norm closes; the global token, which has
    no place on the grid, comes through as it is. The text is not read.

    Args:
        embed_dim: Width D; filled in from the backbone.
        num_layers: Blocks before the pool, and as many after it; 1 or more.
        num_queries: Tokens that come out beside the global one; a square number.

    Raises:
        ValueError: ``num_layers`` below 1, or ``num_queries`` is not a square number.
        ComponentError: In ``check_tokens`` and ``forward``, more cells than patches along an axis; in
            ``forward``, tokens without an origin.
    """

    def __init__(self, *, embed_dim: int, num_layers: int = 3, num_queries: int = 144) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers: must be 1 or more, got {num_layers}.")
        self.side = square_side(num_queries)
        self.fine = nn.Sequential(*(_ConvBlock(embed_dim) for _ in range(num_layers)))
        self.coarse = nn.Sequential(*(_ConvBlock(embed_dim) for _ in range(num_layers)))
        self.readout = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.SiLU(), nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim)
        )

    def check_tokens(self, num_tokens: int, grid: tuple[int, int]) -> None:
        """Refuse more cells than patches along an axis of ``grid``; how many tokens are left does not matter."""
        check_cells(self.side, grid)

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Condense ``visual`` (B, P + S, D) into (B, 1 + Q, D)."""
        dense, present = dense_tokens(visual, "CAbstractor")
        # Convolutions want channels first: (B, N, D) -> (B, D, rows, columns), and back.
        fine = self.fine(dense.transpose(1, 2).unflatten(2, visual.grid)).flatten(2).transpose(1, 2)
        # All patches count here: the blocks have filled the dropped ones from their neighbours.
        pooled = average_cells(fine, torch.ones_like(present), visual.grid, self.side)
        # (B, Q, D) -> (B, D, side, side) -> (B, Q, D)
        coarse = self.coarse(pooled.transpose(1, 2).unflatten(2, (self.side, self.side))).flatten(2).transpose(1, 2)
        embeds = torch.cat([visual.embeds[:, :1], self.readout(coarse)], dim=1)
        return replace(visual, embeds=embeds, num_prefix=1, origin=None, scores=None, unread=None)


class _ConvBlock(nn.Module):
    """A residual block of RegNet kind on (B, D, rows, columns): 1 x 1, depthwise 3 x 3, squeeze-excitation, 1 x 1.

    The block of RegNetY (arXiv 2003.13678) as Honeybee uses it: no bottleneck, groups of one channel, SiLU, and a
    squeeze to a quarter of the channels.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        squeezed = max(1, embed_dim // 4)
        self.enter = nn.Conv2d(embed_dim, embed_dim, 1, bias=False)
        self.enter_norm = _ChannelNorm(embed_dim)
        self.spread = nn.Conv2d(embed_dim, embed_dim, 3, padding=1, groups=embed_dim, bias=False)
        self.spread_norm = _ChannelNorm(embed_dim)
        self.gate = nn.Sequential(
            nn.Conv2d(embed_dim, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, embed_dim, 1), nn.Sigmoid()
        )
        self.leave = nn.Conv2d(embed_dim, embed_dim, 1, bias=False)
        self.leave_norm = _ChannelNorm(embed_dim)

    def forward(self, grid: Tensor) -> Tensor:
        """Return a grid of the same shape."""
        inner = F.silu(self.enter_norm(self.enter(grid)))
        inner = F.silu(self.spread_norm(self.spread(inner)))
        inner = inner * self.gate(inner.mean(dim=(2, 3), keepdim=True))
        return F.silu(grid + self.leave_norm(self.leave(inner)))


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, D, rows, columns)."""

    def forward(self, grid: Tensor) -> Tensor:
        """Normalise each place by itself."""
        return super().forward(grid.movedim(1, -1)).movedim(-1, 1)
