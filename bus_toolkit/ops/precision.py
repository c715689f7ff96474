"""The precision of losses, scores and softmaxes: half precision is cast up for them, and nothing is ever cast down."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float32; float64 stays, so that a model in float64 is one throughout."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def at_least_float32_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype of ``at_least_float32(tensor)``, for numbers that are to meet it."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
