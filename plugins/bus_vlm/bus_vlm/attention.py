"""Attention of outside queries to a block's candidates.

Shape suffixes: B batch, M queries, N candidates, H heads, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops import at_least_float32


def attention_to_candidates(queries_BMHE: Tensor, keys_BNHE: Tensor, key_weights_BN: Tensor | None = None) -> Tensor:
    """Return softmax attention (B, M, N), averaged over the heads, float32 or float64.

    The softmax is over the candidates alone: prefix tokens and the text take no share of it.

    Args:
        queries_BMHE: Queries.
        keys_BNHE: Keys of the candidates.
        key_weights_BN: How much each candidate counts as a key; all alike when not given.
    """
    # In half precision many patches would tie, and ties go to the upper left.
    with torch.autocast(keys_BNHE.device.type, enabled=False):
        logits_BMHN = torch.einsum("bmhe,bnhe->bmhn", at_least_float32(queries_BMHE), at_least_float32(keys_BNHE))
        logits_BMHN = logits_BMHN / keys_BNHE.shape[-1] ** 0.5
        if key_weights_BN is not None:
            # A key of weight w counts as w equal keys: exp(logit + log w) = w exp(logit).
            logits_BMHN = logits_BMHN + at_least_float32(key_weights_BN).clamp(min=1e-6).log()[:, None, None, :]
        return logits_BMHN.softmax(dim=-1).mean(dim=2)
