"""Position tables of checkpoints for another image size.

Shape suffixes: P prefix tokens, N patches, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import CheckpointError


def refuse_other_grids(patches: int, own: int) -> None:
    """Refuse a position table of ``patches`` places for a model of ``own``, unless it is of a square grid.

    Raises:
        CheckpointError: Another number of patches, and no square one.
    """
    if patches != own and math.isqrt(max(patches, 0)) ** 2 != patches:
        raise CheckpointError(
            f"model.backbone: the checkpoint has position embeddings of {patches} patches, got a model of {own}. Those "
            "of another image size are interpolated if they are of a square image. Use the img_size of the checkpoint."
        )


def interpolate_positions(
    table: Tensor, num_prefix: int, own: Tensor, grid: tuple[int, int], *, antialias: bool
) -> Tensor:
    """Return a position table (1, P + N, D) of a square grid in the shape of ``own``, for ``grid``; bicubic.

    Raises:
        CheckpointError: It is of another number of patches, and of no square grid.
    """
    if table.shape == own.shape:
        return table
    refuse_other_grids(table.shape[1] - num_prefix, own.shape[1] - num_prefix)
    side = math.isqrt(table.shape[1] - num_prefix)
    prefix, patches = table[:, :num_prefix], table[:, num_prefix:].float()
    patches = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=grid, mode="bicubic", align_corners=False, antialias=antialias)
    return torch.cat([prefix, patches.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)
