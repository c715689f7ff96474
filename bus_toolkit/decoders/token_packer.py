"""TokenPacker: coarse queries, each of which reads its own region of the patch grid."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.decoders.dense_grid import origin_of
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.follow_plans import scatter_back
from bus_toolkit.structures import TextTokens, VisualTokens


class TokenPacker(nn.Module):
    """Let the down-sampled grid read the full one, region by region (``TokenPacker``). Goes into ``model.decoder``.

    arXiv 2407.02392; CircleRadon/TokenPacker:llava/model/multimodal_projector/builder.py: the queries are
    the bilinearly down-sampled patch grid after a linear layer and a norm; keys and values pass two linear layers and
    a norm; each query attends to the s x s patches of its region and to nothing else; two linear layers follow, without
    a residual connection. The source reads several levels of the vision encoder; a backbone here hands on one, so keys
    and values are of that one. Our choice: dropped patches are masked out of the attention and enter the down-sampling
    as zeros; a query whose region is empty reads nothing, so that all such tokens are alike; a layer norm closes; the
    global token, which has no region, comes through as it is. The text is not read.

    Args:
        embed_dim: Width D; filled in from the backbone.
        region_size: Side s of a region in patches, 1 or more; N / s^2 tokens come out beside the global one.
        num_heads: Attention heads.

    Raises:
        ValueError: ``region_size`` below 1, or ``num_heads`` does not divide D.
        ComponentError: In ``check_tokens`` and ``forward``, regions that do not tile the grid; in
            ``forward``, tokens without an origin.
    """

    def __init__(self, *, embed_dim: int, region_size: int = 2, num_heads: int = 12) -> None:
        super().__init__()
        if region_size < 1:
            raise ValueError(f"region_size: must be 1 or more, got {region_size}.")
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"num_heads: must divide the width {embed_dim}, got {num_heads}.")
        self.region_size, self.num_heads = region_size, num_heads
        # No bias before the norm: how many of the patches that a query averages are zero then does not matter.
        self.query = nn.Sequential(
            nn.Linear(embed_dim, embed_dim, bias=False), nn.LayerNorm(embed_dim), nn.Linear(embed_dim, embed_dim)
        )
        self.key, self.value = _two_layers_and_norm(embed_dim), _two_layers_and_norm(embed_dim)
        self.key.append(nn.Linear(embed_dim, embed_dim))
        self.value.append(nn.Linear(embed_dim, embed_dim))
        self.attention_out = nn.Linear(embed_dim, embed_dim)
        self.readout = _two_layers_and_norm(embed_dim)

    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        """Pack ``visual`` (B, P + S, D) into (B, 1 + N / s^2, D)."""
        origin = origin_of(visual, "TokenPacker")
        tokens = visual.embeds[:, visual.num_prefix :]
        self.check_tokens(tokens.shape[1], visual.grid)
        present = self._regions((origin >= 0).unsqueeze(-1), visual.grid).squeeze(-1)
        # Keys and values are made from the tokens that are left, not from the patches of the whole grid.
        coarse, keys, values = (
            self._regions(scatter_back(states, origin), visual.grid)
            for states in (tokens, self.key(tokens), self.value(tokens))
        )
        read = self._attend(self.query(self._down_sample(coarse)), keys, values, present)
        packed = self.readout(self.attention_out(read))
        embeds = torch.cat([visual.embeds[:, :1], packed], dim=1)
        return replace(visual, embeds=embeds, num_prefix=1, origin=None, scores=None, unread=None)

    def check_tokens(self, num_tokens: int, grid: tuple[int, int]) -> None:
        """Refuse regions that do not tile ``grid``; how many tokens are left does not matter."""
        if any(length % self.region_size for length in grid):
            fitting = [s for s in range(1, min(grid) + 1) if not any(length % s for length in grid)]
            raise ComponentError(
                f"model.decoder.region_size: must divide the patch grid of {grid[0]} x {grid[1]}, got "
                f"{self.region_size}. Allowed: {', '.join(map(str, fitting))}. Choose one, or another img_size."
            )

    def _regions(self, dense: Tensor, grid: tuple[int, int]) -> Tensor:
        """Unfold (B, N, D) into regions (B, Q, s * s, D), both row by row."""
        side = self.region_size
        # (B, N, D) -> (B, rows / s, s, columns / s, s, D): each axis cut into regions and cells of a region.
        cut = dense.unflatten(1, (grid[0] // side, side, grid[1] // side, side))
        # -> (B, rows / s, columns / s, s, s, D) -> (B, Q, s * s, D): cells of one region next to each other.
        return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _down_sample(self, regions: Tensor) -> Tensor:
        """Return one query (B, Q, D) a region: what bilinear interpolation by a whole factor is.

        It is the centre of the region, or the mean of the four patches around the centre.
        ``torch.nn.functional.interpolate`` has no deterministic backward pass on a GPU.
        """
        side = self.region_size
        centre = slice((side - 1) // 2, side // 2 + 1)
        return regions.unflatten(2, (side, side))[:, :, centre, centre].mean(dim=(2, 3))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Let each query (B, Q, D) read its region's keys and values (B, Q, s * s, D) at ``present`` (B, Q, s * s)."""
        heads = self.num_heads

        # Regions are stacked beside heads, not beside samples: fused kernels allow 65535 of either.
        def split(states: Tensor) -> Tensor:
            # (B, Q, n, D) -> (B, Q, n, H, E) -> (B, Q, H, n, E) -> (B, Q * H, n, E)
            return states.unflatten(-1, (heads, -1)).transpose(2, 3).flatten(1, 2)

        # An empty region may read its cells, which are zero: so is what comes out, where no key at all gives NaN.
        allowed = present | ~present.any(dim=-1, keepdim=True)
        mask = allowed.repeat_interleave(heads, dim=1).unsqueeze(2)  # (B, Q, s * s) -> (B, Q * H, 1, s * s)
        read = F.scaled_dot_product_attention(split(queries.unsqueeze(2)), split(keys), split(values), attn_mask=mask)
        return read.squeeze(2).unflatten(1, (-1, heads)).flatten(2)  # (B, Q * H, 1, E) -> (B, Q, H, E) -> (B, Q, D)


def _two_layers_and_norm(embed_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim)
    )
