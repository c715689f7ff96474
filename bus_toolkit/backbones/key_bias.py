"""What weights and padding of keys add to the logits of attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def key_bias(
    num_prefix: int, key_weights: Tensor | None, words: Tensor | None = None, num_patches: int = 0
) -> Tensor | None:
    """Return what is added to attention logits (B, P + N); ``None`` where that is nothing.

    Args:
        num_prefix: P; prefix tokens count 1.
        key_weights: By how much the others count, (B, N); ``None``: 1.
        words: bool (B, L), which of the last L prefix tokens are no padding, which is never read.
        num_patches: N, where neither of them says it.
    """
    if key_weights is None and words is None:
        return None
    logs = None if key_weights is None else log_weights(key_weights)
    if words is None:
        assert logs is not None
        return torch.cat([logs.new_zeros(logs.shape[0], num_prefix), logs], dim=1)
    hidden = torch.zeros_like(words, dtype=torch.float32).masked_fill(~words, -math.inf)
    logs = hidden.new_zeros(hidden.shape[0], num_patches) if logs is None else logs
    return torch.cat([hidden.new_zeros(hidden.shape[0], num_prefix - words.shape[1]), hidden, logs], dim=1)


def log_weights(key_weights: Tensor) -> Tensor:
    """Return the logarithm of weights of keys, any shape.

    The smallest weight keeps its gradient: a mask that was 0 in the forward pass can come back.
    """
    return key_weights.clamp(min=1e-6).log()
