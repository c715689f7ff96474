"""Small steps that plans with merging are made of.

Shape suffixes: B batch, N candidates, K founding tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def own_slots(keep_BK: Tensor, num_tokens: int) -> Tensor:
    """Return int64 (B, N): k at ``keep_BK[:, k]``, -1 for tokens that start no slot."""
    batch, count = keep_BK.shape
    slots_BN = keep_BK.new_full((batch, num_tokens), -1)
    return slots_BN.scatter(1, keep_BK, torch.arange(count, device=keep_BK.device).expand(batch, count))


def equal_shares(slots_BN: Tensor, members_BN: Tensor, num_slots: int, dtype: torch.dtype) -> Tensor:
    """Return the weights (B, N) that make a mean of the members of each slot; 0 for other tokens.

    Args:
        slots_BN: int64, the slot of each token, 0 to ``num_slots`` - 1.
        members_BN: bool, which tokens count.
        num_slots: Number K of slots.
        dtype: Of the weights.
    """
    members_BN = members_BN.to(dtype)
    counts_BK = members_BN.new_zeros(slots_BN.shape[0], num_slots).scatter_add(1, slots_BN, members_BN)
    return members_BN / counts_BK.gather(1, slots_BN).clamp(min=1.0)
