"""Rows of an attention map, from the queries and keys that a layer used.

Shapes: B batch, U units, Q asking tokens of each, H heads, Hk key heads, n tokens of the sequence, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.ops.precision import at_least_float32


def attention_rows(used: RecordedAttention, rows: Tensor, asking: Tensor) -> Tensor:
    """Return what tokens give to all n tokens, the mean of the heads, (U, Q, n).

    Args:
        used: What the layer used.
        rows: int64 (U,), rows of the batch.
        asking: int64 (U, Q), tokens of those rows.
    """
    # Advanced indices apart from each other put their axes first: (U, Q, H, E).
    queries = used.queries.transpose(1, 2)[rows.unsqueeze(1), asking].transpose(1, 2)
    keys = used.keys[rows]  # (U, Hk, n, E)
    # In half precision many places would tie, and ties go to the first ones.
    with torch.autocast(keys.device.type, enabled=False):
        grouped = at_least_float32(queries).unflatten(1, (keys.shape[1], -1))  # (U, Hk, H / Hk, Q, E)
        logits = grouped @ at_least_float32(keys).unsqueeze(2).transpose(-1, -2)
        logits = _masked(logits.flatten(1, 2) * used.scale, used, rows, asking)  # (U, H, Q, n)
        return logits.softmax(dim=-1).mean(dim=1)


def _masked(logits: Tensor, used: RecordedAttention, rows: Tensor, asking: Tensor) -> Tensor:
    mask, hidden = used.mask, torch.finfo(logits.dtype).min
    if mask is not None and mask.dim() == 4:
        full = mask.expand(used.queries.shape[0], -1, used.queries.shape[2], -1).transpose(1, 2)  # (B, n, 1 or H, n)
        picked = full[rows.unsqueeze(1), asking].transpose(1, 2)  # (U, 1 or H, Q, n)
        return logits.masked_fill(~picked, hidden) if picked.dtype == torch.bool else logits + picked
    if mask is not None:
        logits = logits.masked_fill(~mask[rows].bool()[:, None, None], hidden)
    if used.causal:
        later = torch.arange(logits.shape[-1], device=asking.device) > asking.unsqueeze(2)  # (U, Q, n)
        logits = logits.masked_fill(later.unsqueeze(1), hidden)
    return logits
