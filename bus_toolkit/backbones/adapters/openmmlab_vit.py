"""OpenMMLab's plain vision transformers: VisionTransformer, DistilledVisionTransformer, DeiT3.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/{vision_transformer,deit,deit3}.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.adapters.projections import part_of_linear
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.position_table import AbsolutePositions, Grid, PositionTable
from bus_toolkit.registry.openmmlab import MMPRETRAIN, mmpretrain_models

_PARTS = ("patch_embed", "pos_embed", "cls_token", "layers", "drop_after_pos", "embed_dims", "patch_resolution")
_BLOCK_PARTS = ("ln1", "attn", "ln2", "ffn")


def vision_transformer(**settings: Any) -> Any:
    """Build mmpretrain's transformer with all its tokens as output; imported only now, so that others work without.

    Raises:
        ComponentError: mmpretrain cannot be imported.
    """
    return mmpretrain_models()[f"{MMPRETRAIN}VisionTransformer"](out_type="raw", **settings)


class VisionTransformerAdapter(TransformerAdapter):
    """``mmpretrain.VisionTransformer`` and whatever has its parts; CLIP-style with ``pre_norm``."""

    libraries = ("mmpretrain", "mmcv", "mmengine")
    tested_with = "onedl-mmpretrain 1.3.6"

    def __init__(self, vit: Any) -> None:
        super().__init__(vit)
        self.embed_dim = vit.embed_dims
        self.num_prefix = vit.num_extra_tokens
        self.layers = vit.layers
        self.image_size = (vit.img_size[0], vit.img_size[1])
        stride = vit.patch_embed.projection.stride
        self.patch_size = (stride[0], stride[1])

    @staticmethod
    def missing_parts(vit: Any) -> list[str]:
        """Return the names of the parts that are missing in ``vit``."""
        missing = [name for name in _PARTS if not hasattr(vit, name)]
        return missing or [f"layers[i].{name}" for name in _BLOCK_PARTS if not hasattr(vit.layers[0], name)]

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        vit = self.vit
        patches, grid = vit.patch_embed(images)
        tokens = torch.cat([*self._prefix(images.shape[0]), patches], dim=1)
        tokens = vit.drop_after_pos(tokens + self._table(grid, self.num_prefix))
        return self._before_blocks(tokens), (int(grid[0]), int(grid[1]))

    def _prefix(self, batch: int) -> list[Tensor]:
        return [self.vit.cls_token.expand(batch, -1, -1)] if self.num_prefix else []

    def _before_blocks(self, tokens: Tensor) -> Tensor:
        return self.vit.pre_norm(tokens)

    def _table(self, grid: tuple[int, int], num_prefix: int) -> Tensor:
        vit = self.vit
        return vit.resize_pos_embed(
            vit.pos_embed, vit.patch_resolution, grid, mode=vit.interpolate_mode, num_extra_tokens=num_prefix
        )

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return layer(tokens)

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.ln1(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.ln2(tokens)

    @override
    def project(self, layer: Any, normed: Tensor) -> States:
        queries, keys, values = layer.attn.qkv(normed).chunk(3, dim=-1)
        return queries, keys, values

    @override
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        return part_of_linear(layer.attn.qkv, normed, slice(part * self.embed_dim, (part + 1) * self.embed_dim))

    @override
    def num_heads(self, layer: Any) -> int:
        return layer.attn.num_heads

    @override
    def bypassed(self, layer: Any) -> Sequence[nn.Module]:
        return layer, layer.attn

    @override
    def attention_dropout(self, layer: Any) -> float:
        return layer.attn.attn_drop if layer.attn.training else 0.0

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        attn = layer.attn
        return attn.out_drop(attn.gamma1(attn.proj_drop(attn.proj(mixed))))

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.ffn(self.norm2(layer, tokens), identity=tokens)

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.vit.ln1(tokens) if self.vit.final_norm else tokens

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        vit, grid = self.vit, self.position_grid
        if vit.pos_embed is None:
            return ()
        prefix = vit.pos_embed.shape[1] - grid[0] * grid[1]
        return (AbsolutePositions("pos_embed", grid, prefix, mode=vit.interpolate_mode),)

    @override
    @property
    def position_grid(self) -> Grid:
        rows, columns = self.vit.patch_resolution
        return int(rows), int(columns)


class DistilledAdapter(VisionTransformerAdapter):
    """DeiT with a distillation token beside the class token; both are prefix."""

    def _prefix(self, batch: int) -> list[Tensor]:
        return [token.expand(batch, -1, -1) for token in (self.vit.cls_token, self.vit.dist_token)]

    def _before_blocks(self, tokens: Tensor) -> Tensor:
        return tokens  # mmpretrain's class never calls its pre_norm


class DeiT3Adapter(VisionTransformerAdapter):
    """DeiT III: the class token has no position, and mmpretrain's block reads its first norm twice."""

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self.vit.patch_embed(images)
        patches = self.vit.drop_after_pos(patches + self._table(grid, 0))
        tokens = torch.cat([*self._prefix(images.shape[0]), patches], dim=1)
        return tokens, (int(grid[0]), int(grid[1]))

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.ln1(tokens)
