"""OpenMMLab's T2T-ViT, whose patches are made of overlapping windows in three steps.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones/t2t_vit.py``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.adapters.openmmlab_vit import VisionTransformerAdapter
from bus_toolkit.backbones.positions import TokenPositions

_STRIDE = 16  # of the three windows together


class T2TAdapter(VisionTransformerAdapter):
    """``mmpretrain.T2T_ViT``: the blocks are those of its encoder; the two that make the tokens are part of them."""

    def __init__(self, vit: Any) -> None:
        TransformerAdapter.__init__(self, vit)
        self.embed_dim = vit.tokens_to_token.embed_dims
        self.num_prefix = vit.num_extra_tokens
        self.layers = vit.encoder
        rows, columns = vit.patch_resolution
        self.image_size = (_STRIDE * rows, _STRIDE * columns)
        self.patch_size = (_STRIDE, _STRIDE)

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self.vit.tokens_to_token(images)
        tokens = torch.cat([*self._prefix(images.shape[0]), patches], dim=1)
        return self.vit.drop_after_pos(tokens + self._table(grid, self.num_prefix)), (int(grid[0]), int(grid[1]))

    def _table(self, grid: tuple[int, int], num_prefix: int) -> Tensor:
        from mmpretrain.models.utils import resize_pos_embed

        vit = self.vit
        return resize_pos_embed(
            vit.pos_embed, vit.patch_resolution, grid, mode=vit.interpolate_mode, num_extra_tokens=num_prefix
        )

    @override
    def scale(self, layer: Any) -> float:
        # mmpretrain divides by the factor of these blocks, though it means to multiply.
        return layer.attn.head_dims**0.5

    @override
    def own_attention(self, layer: Any, states: States, positions: TokenPositions) -> Tensor:
        return layer.attn.scaled_dot_product_attention(*states, dropout_p=self.attention_dropout(layer))

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.vit.norm(tokens)
