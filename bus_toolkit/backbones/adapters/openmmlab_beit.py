"""OpenMMLab's BEiT and BEiT v2, whose attention adds a bias for each pair of places.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/beit.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States
from bus_toolkit.backbones.adapters.openmmlab_vit import VisionTransformerAdapter
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.position_table import Grid, PositionTable, RelativePositions


class BEiTAdapter(VisionTransformerAdapter):
    """``mmpretrain.BEiTViT``.

    The bias of a pair comes from a table by the offset of the two places; the class token has entries of its own. Kept
    patches keep theirs. A fused token has no position and shares the class token's entries (our choice).
    """

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self.vit.patch_embed(images)
        if tuple(grid) != self.position_grid and relative_tables(self.vit, self.position_grid, others=3):
            rows, columns = self.position_grid
            raise ValueError(f"Its relative positions are of {rows} x {columns} patches, got {grid[0]} x {grid[1]}.")
        tokens = torch.cat([*self._prefix(images.shape[0]), patches], dim=1)
        if self.vit.pos_embed is not None:
            tokens = tokens + self._table(grid, self.num_prefix)
        return self.vit.drop_after_pos(tokens), (int(grid[0]), int(grid[1]))

    @override
    def runs_whole(self, positions: TokenPositions) -> bool:
        return positions.complete

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        shared = self.vit.rel_pos_bias
        return layer(tokens, None if shared is None else positions.once("shared bias", shared))

    @override
    def project(self, layer: Any, normed: Tensor) -> States:
        attn = layer.attn
        bias = _qkv_bias(attn)
        states = attn.qkv(normed) if bias is None else F.linear(normed, attn.qkv.weight, bias)
        queries, keys, values = states.chunk(3, dim=-1)
        return queries, keys, values

    @override
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        bias = _qkv_bias(layer.attn)
        if bias is None:
            return super().project_one(layer, normed, part)
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        return F.linear(normed, layer.attn.qkv.weight[rows], bias[rows])

    @override
    def attention_dropout(self, layer: Any) -> float:
        return layer.attn.attn_drop.p if layer.attn.training else 0.0

    @override
    def scale(self, layer: Any) -> float:
        return layer.attn.scale

    @override
    def logit_bias(self, layer: Any, positions: TokenPositions, num_queries: int | None = None) -> Tensor | None:
        tables = self.vit.rel_pos_bias if layer.attn.relative_position_bias_table is None else layer.attn
        if tables is None:
            return None
        pairs = positions.once("pairs", lambda: self._pairs(tables.relative_position_index, positions))[:, :num_queries]
        # Contiguous, because fused kernels want the keys of a row side by side.
        return F.embedding(pairs, tables.relative_position_bias_table).permute(0, 3, 1, 2).contiguous()

    def _pairs(self, index: Tensor, positions: TokenPositions) -> Tensor:
        """Return the table entry of each pair of tokens, int64 (1 or B, n, n)."""
        if positions.patches is None:
            return index.unsqueeze(0)
        batch = positions.patches.shape[0]
        prefix = positions.patches.new_zeros(batch, self.num_prefix)
        places = torch.cat([prefix, positions.patches + 1], dim=1)  # row 0 is the class token, and whatever is nowhere
        return index[places.unsqueeze(2), places.unsqueeze(1)]

    @override
    def own_attention(self, layer: Any, states: States, positions: TokenPositions) -> Tensor:
        queries, keys, values = states
        logits = (queries * layer.attn.scale) @ keys.transpose(-2, -1)
        bias = self.logit_bias(layer, positions)
        if bias is not None:
            logits = logits + bias
        return layer.attn.attn_drop(logits.softmax(dim=-1)) @ values

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        out = layer.attn.proj_drop(layer.attn.proj(mixed))
        return layer.drop_path(out if layer.gamma_1 is None else layer.gamma_1 * out)

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        out = layer.ffn(layer.ln2(tokens))
        return tokens + layer.drop_path(out if layer.gamma_2 is None else layer.gamma_2 * out)

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        return *super().position_tables(), *relative_tables(self.vit, self.position_grid, others=3)


def relative_tables(vit: nn.Module, grid: Grid | None, others: int) -> list[RelativePositions]:
    """Return the tables of relative positions of mmpretrain's modules.

    Args:
        vit: The module.
        grid: That of the image; ``None`` where attention looks at windows, whose size each module knows.
        others: Rows of other tokens than patches.
    """
    tables = []
    for path, part in vit.named_modules():
        if isinstance(getattr(part, "relative_position_bias_table", None), nn.Parameter):
            start = f"{path}." if path else ""
            window = grid or (part.window_size[0], part.window_size[1])
            name, index = f"{start}relative_position_bias_table", f"{start}relative_position_index"
            tables.append(RelativePositions(name, window, others, index=index, is_of_image=grid is not None))
    return tables


def _qkv_bias(attn: Any) -> Tensor | None:
    """Return the bias that is kept beside the weight; ``None`` where the linear layer has its own or none."""
    if attn.bias != "qv_bias":
        return None
    return torch.cat([attn.q_bias, torch.zeros_like(attn.v_bias, requires_grad=False), attn.v_bias])
