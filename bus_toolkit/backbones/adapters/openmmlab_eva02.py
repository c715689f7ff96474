"""OpenMMLab's EVA-02, whose attention turns queries and keys by their places.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/vit_eva02.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States
from bus_toolkit.backbones.adapters.openmmlab_vit import VisionTransformerAdapter
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.position_table import Grid, PositionTable
from bus_toolkit.ops.rotary import RotaryAngles

_BLOCK_PARTS = ("norm1", "attn", "norm2", "mlp")


class EVA02Adapter(VisionTransformerAdapter):
    """``mmpretrain.ViTEVA02``: kept patches are turned by their own places, prefix and fused tokens not at all."""

    @override
    @staticmethod
    def missing_parts(vit: Any) -> list[str]:
        return [f"layers[i].{name}" for name in _BLOCK_PARTS if not hasattr(vit.layers[0], name)]

    @override
    def runs_whole(self, positions: TokenPositions) -> bool:
        # The library's rope overwrites its tables where the grid is another one.
        return positions.complete and positions.grid == tuple(self.vit.rope.patch_resolution)

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return layer(tokens, positions.grid)

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm1(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm2(tokens)

    @override
    def attention_dropout(self, layer: Any) -> float:
        return layer.attn.attn_drop.p if layer.attn.training else 0.0

    @override
    def scale(self, layer: Any) -> float:
        return layer.attn.scale

    @override
    def rotate(self, layer: Any, states: Tensor, positions: TokenPositions) -> Tensor:
        cos, sin = positions.once("turns", lambda: _turns(self.vit.rope, positions))
        prefix, patches = states[:, :, : self.num_prefix], states[:, :, self.num_prefix :]
        first, second = patches.unflatten(-1, (-1, 2)).unbind(dim=-1)
        across = torch.stack([-second, first], dim=-1).flatten(-2)
        return torch.cat([prefix, patches * cos + across * sin], dim=2).type_as(states)

    @override
    def own_attention(self, layer: Any, states: States, positions: TokenPositions) -> Tensor:
        queries, keys, values = states
        weights = ((queries * layer.attn.scale) @ keys.transpose(-2, -1)).softmax(dim=-1).type_as(values)
        return layer.attn.attn_drop(weights) @ values

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        return layer.drop_path(layer.attn.proj_drop(layer.attn.proj(mixed)))

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return tokens + layer.drop_path(layer.mlp(layer.norm2(tokens)))

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        # One buffer under several names: each block has it too.
        names = [name for name in self.vit.state_dict() if name.endswith(("rope.freqs_cos", "rope.freqs_sin"))]
        return *super().position_tables(), *(RotaryAngles(name, self.position_grid) for name in names)


def _turns(rope: Any, positions: TokenPositions) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of each patch token's turn, (N, E) or (B, 1, S, E)."""
    cos, sin = _tables(rope, positions.grid)
    if positions.patches is None:
        return cos, sin
    placed = (positions.patches >= 0)[:, None, :, None]
    places = positions.patches.clamp(min=0)
    cos, sin = cos[places].unsqueeze(1), sin[places].unsqueeze(1)
    return torch.where(placed, cos, torch.ones_like(cos)), sin * placed


def _tables(rope: Any, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines (N, E) of a grid by the rule of those that the model has, which stay as they are."""
    own: Grid = tuple(rope.patch_resolution)
    if grid == own:
        return rope.freqs_cos, rope.freqs_sin
    other = type(rope)(2 * rope.half_dim, grid, theta=rope.theta)
    cos, sin = (
        RotaryAngles(name, grid).fit(getattr(rope, name), getattr(other, name).to(getattr(rope, name)), own)
        for name in ("freqs_cos", "freqs_sin")
    )
    return cos, sin
