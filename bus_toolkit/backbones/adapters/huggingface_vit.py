"""Hugging Face's ViT and DINOv2, the latter with registers and without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States
from bus_toolkit.backbones.adapters.huggingface import HuggingFaceAdapter, tokens_of
from bus_toolkit.backbones.adapters.huggingface_parts import attention_parts, vit_blocks, vit_feed_forward_half
from bus_toolkit.backbones.positions import TokenPositions


class ViTAdapter(HuggingFaceAdapter):
    """``transformers.ViTModel``."""

    def __init__(self, vit: Any) -> None:
        registers = getattr(vit.config, "num_register_tokens", 0)
        super().__init__(vit, vit.embeddings.patch_embeddings.projection, self._blocks(vit), 1 + registers)

    def _blocks(self, vit: Any) -> Any:
        return vit_blocks(vit)

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        tokens = self.vit.embeddings(images, interpolate_pos_encoding=self.foreign_size(images))
        return tokens, self.grid_of(images)

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return tokens_of(layer(tokens))

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.layernorm_before(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.layernorm_after(tokens)

    @override
    def project(self, layer: Any, normed: Tensor) -> States:
        query, key, value = attention_parts(layer).projections
        return query(normed), key(normed), value(normed)

    @override
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        return attention_parts(layer).projections[part](normed)

    @override
    def num_heads(self, layer: Any) -> int:
        return attention_parts(layer).core.num_attention_heads

    @override
    def bypassed(self, layer: Any) -> Sequence[nn.Module]:
        return attention_parts(layer).bypassed

    @override
    def attention_dropout(self, layer: Any) -> float:
        return attention_parts(layer).dropout if layer.training else 0.0

    @override
    def scale(self, layer: Any) -> float:
        return attention_parts(layer).core.scaling

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        parts = attention_parts(layer)
        return parts.drop(parts.output(mixed))

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return vit_feed_forward_half(layer, tokens)

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.vit.layernorm(tokens)


class Dinov2Adapter(ViTAdapter):
    """``transformers.Dinov2Model``: layer scale, drop path, SwiGLU; always fits its positions."""

    always_interpolates = True

    @override
    def _blocks(self, vit: Any) -> Any:
        return vit.encoder.layer

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self.vit.embeddings(images), self.grid_of(images)

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm1(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm2(tokens)

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        return layer.drop_path(layer.layer_scale1(super().attention_branch(layer, mixed)))

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.drop_path(layer.layer_scale2(layer.mlp(layer.norm2(tokens)))) + tokens


class Dinov2WithRegistersAdapter(Dinov2Adapter):
    """``transformers.Dinov2WithRegistersModel``: class token, then registers."""

    antialias = True
