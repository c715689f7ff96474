"""The attention of the first token of a sequence, or of the mean in its place."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.block_passes import in_block
from bus_toolkit.backbones.positions import TokenPositions


def share_in_summary(tokens: Tensor, num_prefix: int) -> Tensor:
    """Return softmax attention (B, N) of the class token of (B, P + N, D), or of the mean, to the patches as they are.

    For a mean g, ``g . x_i / (N g . g)`` is what ``x_i`` contributes to it; this ranks alike.
    """
    patches = tokens[:, num_prefix:]
    asking = tokens[:, 0] if num_prefix else patches.mean(dim=1)
    # (B, N, D) @ (B, D, 1) -> (B, N)
    logits = (patches @ asking.unsqueeze(-1)).squeeze(-1) / math.sqrt(tokens.shape[-1])
    return logits.softmax(dim=-1)


def first_row(
    adapter: TransformerAdapter,
    layer: Any,
    queries: Tensor,
    keys: Tensor,
    positions: TokenPositions,
    bias: Tensor | None,
) -> Tensor:
    """Return the attention of the first token, averaged over the heads, (B, P + N)."""
    # (B, H, 1, E) @ (B, H, E, n) -> (B, H, n)
    logits = (queries[:, :, :1] @ keys.transpose(-1, -2)).squeeze(2) * adapter.scale(layer)
    relative = in_block(layer, adapter.logit_bias, layer, positions, 1)
    if relative is not None:
        logits = logits + relative[:, :, 0]
    if bias is not None:
        logits = logits + bias.unsqueeze(1)  # (B, n) -> (B, 1, n): the same for all heads
    return logits.softmax(dim=-1).mean(dim=1)
