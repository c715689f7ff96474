"""Tensors of which each rank holds a part (``DTensor``), as in fully sharded training; any other is whole."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def is_shard(tensor: Tensor) -> bool:
    """Return whether this rank holds a part of it."""
    return hasattr(tensor, "to_local")


def own_part(tensor: Any) -> Tensor:
    """Return this rank's part, which shares its memory; a whole tensor is that itself."""
    return tensor.to_local() if is_shard(tensor) else tensor


def whole(tensor: Any) -> Tensor:
    """Return all of it, on every rank, all of which call this; a whole tensor is that itself."""
    return tensor.full_tensor() if is_shard(tensor) else tensor


def has_shards(model: nn.Module) -> bool:
    """Return whether the weights of a model are spread over ranks now."""
    return any(is_shard(parameter) for parameter in model.parameters())
