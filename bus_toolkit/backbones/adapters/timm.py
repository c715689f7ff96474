"""timm's vision transformers: VisionTransformer and Eva (EVA-02, DINOv3).

Written against timm 1.0.31, ``timm/models/{vision_transformer,eva}.py``. Tokens leave as from its ``forward_features``.
Where its head pools by other means than the class token, the pooled (and normed) vector is placed before them and is
what heads read as the global token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.adapters.projections import part_of_linear
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.position_table import AbsolutePositions, Grid, PositionTable
from bus_toolkit.ops.precision import at_least_float32_dtype

_BLOCKS = ("Block", "EvaBlock")
_ATTENTIONS = ("Attention", "EvaAttention", "AttentionRope")
_POOLINGS = ("", "token", "avg", "map")
_ROTATIONS = ("RotaryEmbeddingCat", "RotaryEmbeddingDinoV3")


class TimmAdapter(TransformerAdapter):
    """``timm.models.VisionTransformer``: registers, norm before the blocks, normed queries and keys, layer scale.

    Raises:
        ComponentError: It is built of parts that cannot be taken apart or pooled; all are named.
    """

    libraries = ("timm",)
    tested_with = "timm 1.0.31"

    def __init__(self, vit: Any) -> None:
        super().__init__(vit)
        problems = _problems(vit)
        if problems:
            raise ComponentError(
                f"model.backbone: selectors cannot work inside this {type(vit).__name__} of timm, got "
                f"{', '.join(problems)}. Blocks must norm, attend and feed forward one after the other. Use another "
                "model, such as vit_base_patch16_224."
            )
        self.embed_dim, self.num_prefix, self.layers = vit.embed_dim, vit.num_prefix_tokens, vit.blocks
        self.image_size = (vit.patch_embed.img_size[0], vit.patch_embed.img_size[1])
        down, across = vit.patch_embed.feat_ratio(as_scalar=False)
        self.patch_size = (down, across)

    @override
    @property
    def pools(self) -> bool:
        # A norm after the pooling counts as pooling: then the class token alone is not yet what heads read.
        norms = not isinstance(self.vit.fc_norm, nn.Identity)
        return not self.num_prefix or self.vit.global_pool in ("avg", "map") or norms

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        tokens = self._placed(self.vit.patch_embed(images))
        return self.vit.norm_pre(tokens), self.vit.patch_embed.dynamic_feat_size((images.shape[2], images.shape[3]))

    def _placed(self, patches: Tensor) -> Tensor:
        return self.vit._pos_embed(patches)

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return layer(tokens)

    @override
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm1(tokens)

    @override
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        return layer.norm2(tokens)

    @override
    def project(self, layer: Any, normed: Tensor) -> States:
        attn = layer.attn
        if attn.qkv is None:
            queries, keys, values = attn.q_proj(normed), attn.k_proj(normed), attn.v_proj(normed)
        else:
            queries, keys, values = _qkv(attn, normed).chunk(3, dim=-1)
        return self._by_head(attn, queries, attn.q_norm), self._by_head(attn, keys, attn.k_norm), values

    @override
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        attn, width = layer.attn, self.embed_dim
        if attn.qkv is None:
            state = (attn.q_proj, attn.k_proj, attn.v_proj)[part](normed)
        else:
            state = _part_of_qkv(attn, normed, slice(part * width, (part + 1) * width))
        return state if part == 2 else self._by_head(attn, state, (attn.q_norm, attn.k_norm)[part])

    @staticmethod
    def _by_head(attn: Any, states: Tensor, norm: Any) -> Tensor:
        """Return queries or keys (..., D), normed within each head where the attention does so."""
        if isinstance(norm, torch.nn.Identity):
            return states
        return norm(states.unflatten(-1, (attn.num_heads, -1))).flatten(-2)

    @override
    def num_heads(self, layer: Any) -> int:
        return layer.attn.num_heads

    @override
    def bypassed(self, layer: Any) -> Sequence[nn.Module]:
        return layer, layer.attn

    @override
    def attention_dropout(self, layer: Any) -> float:
        return layer.attn.attn_drop.p if layer.training else 0.0

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        return layer.drop_path1(layer.ls1(_out(layer.attn, mixed)))

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        return tokens + layer.drop_path2(layer.ls2(layer.mlp(layer.norm2(tokens))))

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.vit.norm(tokens)

    @property
    def _pools_prefix(self) -> bool:
        return self.vit.pool_include_prefix

    @override
    def pool(self, tokens: Tensor, sizes: Tensor | None) -> Tensor:
        # Pooling by attention counts a merged token as often as ``SiglipAdapter`` does.
        if self.vit.attn_pool is None:
            by_class_token = self.num_prefix and self.vit.global_pool != "avg"
            return self.vit.fc_norm(tokens[:, 0] if by_class_token else super().pool(tokens, sizes))
        read, weights = (tokens if self._pools_prefix else tokens[:, self.num_prefix :]), None
        if sizes is not None:
            logs = sizes.to(at_least_float32_dtype(tokens)).log().to(tokens.dtype)
            weights = F.pad(logs, (read.shape[1] - logs.shape[1], 0))[:, None, None, :]  # a prefix token counts once
        return self.vit.fc_norm(self.vit.attn_pool(read, attn_mask=weights))

    @override
    @property
    def takes_any_size(self) -> bool:
        return bool(self.vit.dynamic_img_size)

    @override
    @property
    def position_grid(self) -> Grid:
        rows, columns = self.vit.patch_embed.grid_size
        return int(rows), int(columns)

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        if self.vit.pos_embed is None:
            return ()
        placed = 0 if self.vit.no_embed_class else self.num_prefix
        # timm's own loading interpolates with antialiasing.
        return (AbsolutePositions("pos_embed", self.position_grid, placed, antialias=True),)


class EvaAdapter(TimmAdapter):
    """``timm.models.Eva``: kept patches are turned by their own places, prefix and fused tokens not at all."""

    @property
    def _pools_prefix(self) -> bool:
        return True  # whatever pools by attention there reads all

    def _placed(self, patches: Tensor) -> Tensor:
        return self.vit._pos_embed(patches)[0]

    @override
    def runs_whole(self, positions: TokenPositions) -> bool:
        return positions.complete or self.vit.rope is None

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return layer(
            tokens, rope=None if self.vit.rope is None else positions.once("turns", lambda: self._turns(positions))
        )

    @override
    def rotate(self, layer: Any, states: Tensor, positions: TokenPositions) -> Tensor:
        if self.vit.rope is None:
            return states
        from timm.layers import apply_rot_embed_cat

        turns = positions.once("turns", lambda: self._turns(positions))
        half = {"half": True} if getattr(layer.attn, "rotate_half", False) else {}
        turned = apply_rot_embed_cat(states[:, :, self.num_prefix :], turns, **half)
        return torch.cat([states[:, :, : self.num_prefix], turned], dim=2).type_as(states)

    def _turns(self, positions: TokenPositions) -> Tensor:
        """Return sine and cosine of each patch token's turn, (N, 2 E) or (B, 1, S, 2 E)."""
        vit = self.vit
        turns = vit.rope.get_embed(shape=positions.grid) if vit.dynamic_img_size else vit.rope.get_embed()
        if positions.patches is None:
            return turns
        sine = torch.zeros_like(turns[0]).chunk(2)[0]
        none = torch.cat([sine, torch.ones_like(sine)])
        placed = (positions.patches >= 0).unsqueeze(-1)
        return torch.where(placed, turns[positions.patches.clamp(min=0)], none).unsqueeze(1)

    @override
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        out = _out(layer.attn, mixed)
        return layer.drop_path1(out if layer.gamma_1 is None else layer.gamma_1 * out)

    @override
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        out = layer.mlp(layer.norm2(tokens))
        return tokens + layer.drop_path2(out if layer.gamma_2 is None else layer.gamma_2 * out)


def _qkv(attn: Any, normed: Tensor) -> Tensor:
    """Return queries, keys and values side by side, (B, n, 3 D)."""
    if getattr(attn, "q_bias", None) is None:
        return attn.qkv(normed)
    if attn.qkv_bias_separate:
        return attn.qkv(normed) + _qkv_bias(attn)
    return F.linear(normed, attn.qkv.weight, _qkv_bias(attn))


def _part_of_qkv(attn: Any, normed: Tensor, columns: slice) -> Tensor:
    """Return one of them, (B, n, D)."""
    if getattr(attn, "q_bias", None) is None:
        return part_of_linear(attn.qkv, normed, columns)
    bias = _qkv_bias(attn)[columns]
    if attn.qkv_bias_separate:
        return part_of_linear(attn.qkv, normed, columns) + bias
    return F.linear(normed, attn.qkv.weight[columns], bias)


def _qkv_bias(attn: Any) -> Tensor:
    return torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])


def _out(attn: Any, mixed: Tensor) -> Tensor:
    """Return the output projection of mixed values (B, n, D), which some norm first."""
    norm = getattr(attn, "norm", None)  # not in the plain attention of older versions
    return attn.proj_drop(attn.proj(mixed if norm is None else norm(mixed)))


def _problems(vit: Any) -> list[str]:
    """Return what an adapter cannot follow, each in a few words."""
    rope, first = getattr(vit, "rope", None), vit.blocks[0]
    problems = sorted({f"{type(b).__name__} as blocks" for b in vit.blocks if type(b).__name__ not in _BLOCKS})
    if not problems:
        attentions = {type(block.attn).__name__ for block in vit.blocks}
        problems += [f"{name} as attention" for name in sorted(attentions.difference(_ATTENTIONS))]
        problems += ["gated attention"] if getattr(first.attn, "gate", None) is not None else []
        shared = any(getattr(block.attn, "num_kv_groups", 1) > 1 for block in vit.blocks)
        problems += ["keys that heads share"] if shared else []
    if getattr(vit.patch_drop, "prob", 0.0):
        problems.append("patch_drop_rate (Random is a selector that does the same)")
    if vit.global_pool not in _POOLINGS:
        problems.append(f"global_pool {vit.global_pool!r}")
    elif vit.global_pool == "avg" and getattr(vit, "pool_include_prefix", False):
        problems.append("pool_include_prefix with global_pool 'avg'")
    if rope is not None and (type(rope).__name__ not in _ROTATIONS or getattr(rope, "aug_active", False)):
        problems.append(f"{type(rope).__name__} with rotations by block or at random")
    return problems
