"""Hugging Face's vision towers of CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.adapters.huggingface import HuggingFaceAdapter, tokens_of
from bus_toolkit.backbones.adapters.huggingface_parts import inner_tower
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.precision import at_least_float32_dtype


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
        return tokens_of(layer(tokens, attention_mask=None, causal_attention_mask=None))  # 5 ignores the second

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
        return tokens_of(layer(tokens, attention_mask=None))

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
