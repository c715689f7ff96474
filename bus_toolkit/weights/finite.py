"""Weights that hold NaN: no result of theirs means anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bus_toolkit.errors import CheckpointError


def refuse_nan(path: object, weights: Mapping[str, Any]) -> None:
    """Refuse weights of which some are NaN; infinities mean "never" in masks.

    Args:
        path: Their file, for the message.
        weights: Tensors by name; other entries are left out.

    Raises:
        CheckpointError: Some are.
    """
    tensors = {name: value for name, value in weights.items() if torch.is_tensor(value) and value.is_floating_point()}
    # Tensors on the meta device have shapes only.
    broken = [n for n, value in tensors.items() if not value.is_meta and _has_nan(value)]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} of its {len(tensors)} tensors hold NaN, the first: {broken[0]}. The training that "
            "wrote it had diverged. Use an earlier checkpoint, or train again with a lower learning rate."
        )


def _has_nan(value: torch.Tensor) -> bool:
    # A sum is NaN or infinite if any of its terms is NaN: most tensors are done with in a tenth of the time.
    return not bool(torch.isfinite(value.sum())) and bool(torch.isnan(value).any())
