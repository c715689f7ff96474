"""Hugging Face's vision towers: ViT, DINOv2 (with registers), CLIP, SigLIP.

Written against transformers 4.57.6 and 5.24.0, ``transformers/models/{vit,dinov2,dinov2_with_registers,clip,siglip}``.
Their attention must be built as ``sdpa``. Tokens leave as the library's ``last_hidden_state``; where its
``pooler_output`` is more than the first of them, that leaves in front and is what heads read as the global token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.adapters.huggingface_parts import (
    attention_parts,
    inner_tower,
    vit_blocks,
    vit_feed_forward_half,
)
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.position_table import AbsolutePositions, Grid, PositionTable
from bus_toolkit.ops.precision import at_least_float32_dtype


class HuggingFaceAdapter(TransformerAdapter):
    """What all of them share.

    Position tables keep the size of the library's ``image_size`` and are interpolated in each pass, as the library does
    (``interpolate_pos_encoding``): weights of one size work at any other without a change.

    Attributes:
        table_name: Name of the position table in the state dict.
        antialias: Whether the library interpolates with antialiasing.
        always_interpolates: Whether it does so for images of its own size, too, if they are not square.
    """

    libraries = ("transformers",)
    tested_with = "transformers 4.57.6 and 5.24.0"
    table_name: str = "embeddings.position_embeddings"
    antialias: ClassVar[bool] = False
    always_interpolates: ClassVar[bool] = False

    def __init__(self, vit: Any, convolution: Any, layers: Any, num_prefix: int) -> None:
        super().__init__(vit)
        size = vit.config.image_size
        self._own_size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.embed_dim, self.num_prefix, self.layers = vit.config.hidden_size, num_prefix, layers
        self.image_size = getattr(vit, "input_size", self._own_size)  # set by HuggingFaceVision
        self.patch_size = (convolution.stride[0], convolution.stride[1])
        for ask in (self.num_heads, self.scale, self.attention_dropout, self.bypassed):
            ask(layers[0])  # now, as a version that builds its blocks otherwise would fail far from here
        rows, columns = self.position_grid
        if rows != columns and (self.always_interpolates or tuple(self.image_size) != self._own_size):
            raise ComponentError(
                f"model.backbone: transformers interpolates the positions of a {type(vit).__name__} as those of a "
                f"square image, got config.image_size {self._own_size}. Give it a square image_size, and img_size for "
                "the images."
            )

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """Return the patch grid of images (B, 3, H, W)."""
        return images.shape[2] // self.patch_size[0], images.shape[3] // self.patch_size[1]

    def foreign_size(self, images: Tensor) -> bool:
        """Return whether images (B, 3, H, W) are of another size than the position table."""
        return (images.shape[2], images.shape[3]) != self._own_size

    @override
    @property
    def position_grid(self) -> Grid:
        return self._own_size[0] // self.patch_size[0], self._own_size[1] // self.patch_size[1]

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        prefix = min(self.num_prefix, 1)  # registers have no position
        return (AbsolutePositions(self.table_name, self.position_grid, prefix, antialias=self.antialias),)


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
        return _tokens_of(layer(tokens))

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


class CLIPAdapter(HuggingFaceAdapter):
    """``transformers.CLIPVisionModel``.

    The library norms the class token alone, for its pooled output, and gives out all tokens as the last block left
    them. So do we: the normed class token comes first, the class token follows it as prefix.
    """

    def __init__(self, vit: Any, num_prefix: int = 1) -> None:
        self.tower, start = inner_tower(vit)
        self.table_name = f"{start}embeddings.position_embedding.weight"
        super().__init__(vit, self.tower.embeddings.patch_embedding, self.tower.encoder.layers, num_prefix)

    @override
    @property
    def pools(self) -> bool:
        return True

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        tokens = self.tower.embeddings(images, interpolate_pos_encoding=self.foreign_size(images))
        return self._before_blocks(tokens), self.grid_of(images)

    def _before_blocks(self, tokens: Tensor) -> Tensor:
        return self.tower.pre_layrnorm(tokens)

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return _tokens_of(layer(tokens, attention_mask=None, causal_attention_mask=None))  # 5 ignores the second

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.layer_norm1(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.layer_norm2(tokens)

    @override
    def project(self, layer: Any, normed: Tensor) -> States:
        attention = layer.self_attn
        return attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)

    @override
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        attention = layer.self_attn
        return (attention.q_proj, attention.k_proj, attention.v_proj)[part](normed)

    @override
    def num_heads(self, layer: Any) -> int:
        return layer.self_attn.num_heads

    @override
    def bypassed(self, layer: Any) -> Sequence[nn.Module]:
        return layer, layer.self_attn

    @override
    def attention_dropout(self, layer: Any) -> float:
        return layer.self_attn.dropout if layer.training else 0.0

    @override
    def scale(self, layer: Any) -> float:
        return layer.self_attn.scale

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        return layer.self_attn.out_proj(mixed)

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return tokens + layer.mlp(layer.layer_norm2(tokens))

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return tokens

    @override
    def pool(self, tokens: Tensor, sizes: Tensor | None) -> Tensor:
        # ``sizes`` do not matter to the class token.
        return self.tower.post_layernorm(tokens[:, 0])


class SiglipAdapter(CLIPAdapter):
    """``transformers.SiglipVisionModel``: no class token; a learned query reads the tokens at the end.

    Our choice: in that reading a token that others were merged into counts as often as the patches merged into it, by
    the logarithm of their number on its logit (as ToMe does inside the blocks, arXiv 2210.09461, section 3).
    """

    def __init__(self, vit: Any) -> None:
        super().__init__(vit, num_prefix=0)

    def _before_blocks(self, tokens: Tensor) -> Tensor:
        return tokens

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return _tokens_of(layer(tokens, attention_mask=None))

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.tower.post_layernorm(tokens)

    @override
    def pool(self, tokens: Tensor, sizes: Tensor | None) -> Tensor:
        if not self.tower.use_head:
            return TransformerAdapter.pool(self, tokens, sizes)
        head = self.tower.head
        query = head.probe.repeat(tokens.shape[0], 1, 1)
        weights = None
        if sizes is not None:
            logs = sizes.to(at_least_float32_dtype(tokens)).log().to(tokens.dtype)
            weights = logs.unsqueeze(1).repeat_interleave(head.attention.num_heads, dim=0)
        read = head.attention(query, tokens, tokens, attn_mask=weights)[0]
        return (read + head.mlp(head.layernorm(read)))[:, 0]


def _tokens_of(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return what a block gives out; which of them wrap it in a tuple changes between versions."""
    return out if torch.is_tensor(out) else out[0]
