"""Ranks: how many there are, whose rows are whose, and means over all of them.

A global batch of G = B * W rows is ordered as MMEngine's samplers deal it out: row i of rank r is global row ``i * W +
r``. With one process every function here is the identity, so that losses are the same for any number of ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32


def world_size() -> int:
    """Return the number of ranks, 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's rank, 0 without torch.distributed."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def own_rows(num_local: int, device: torch.device) -> Tensor:
    """Return the global row numbers (B,) of this rank's rows."""
    return torch.arange(num_local, device=device) * world_size() + rank()


def mean_logs_over_ranks(log_vars: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what is logged, averaged over the ranks; every rank must bring the same keys."""
    if world_size() == 1:
        return log_vars
    stacked = torch.stack([at_least_float32(value.detach()) for value in log_vars.values()])
    dist.all_reduce(stacked)
    return type(log_vars)(zip(log_vars, stacked / world_size(), strict=True))


def mean_over_ranks(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of ``values`` so that its average over the ranks is the mean over all rows.

    DDP averages gradients; a plain mean over each rank's own valid rows would weigh rows of a sparse rank more.

    Args:
        values: Any shape; half precision is averaged in float32.
        weights: Same shape, non-negative; all zero gives a zero that still carries gradient (of zero).
    """
    values, weights = at_least_float32(values), at_least_float32(weights)
    total = weights.sum()
    if world_size() > 1:
        total = total.detach().clone()
        dist.all_reduce(total)
        total = total / world_size()
    return (values * weights).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
