"""Rows of all ranks: gathered with gradient, averaged; random numbers that do not depend on the number of ranks.

A global batch of G = B * W rows is ordered as MMEngine's samplers deal it out: row i of rank r is global row ``i * W +
r``. With one process every function here is the identity, so that losses are the same for any number of ranks.
"""

from __future__ import annotations

import zlib
from typing import Any

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


class _GatherRows(torch.autograd.Function):
    """all_gather whose backward gives each rank the summed gradient of its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # autograd's own type
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows)
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad[rank() :: world_size()]


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (G, ...) of all ranks in global order; every rank must bring the same shape."""
    return rows if world_size() == 1 else _GatherRows.apply(rows)


def gather_padded_rows(rows: Tensor, length: int) -> Tensor:
    """Like ``gather_rows`` for (B, L, ...) whose L differs between ranks: all are padded with zeros to ``length``.

    A fixed length costs a few padded places and saves asking all ranks for theirs, which would stop the device.
    """
    if world_size() == 1:
        return rows
    missing = length - rows.shape[1]
    if missing:
        rows = torch.cat([rows, rows.new_zeros(rows.shape[0], missing, *rows.shape[2:])], dim=1)
    return gather_rows(rows)


def own_rows(num_local: int, device: torch.device) -> Tensor:
    """Return the global row numbers (B,) of this rank's rows."""
    return torch.arange(num_local, device=device) * world_size() + rank()


def shared_noise(
    name: str, iteration: int, shape: tuple[int, ...], device: torch.device, *, seed: int | None = None
) -> Tensor:
    """Return uniform numbers in [0, 1) for this rank's rows, the same for a sample whatever the number of ranks.

    Args:
        name: What they are for; different names (and different seeds) give independent numbers.
        iteration: Optimizer step.
        shape: (B, ...) of this rank; the global batch is drawn on the CPU and this rank's rows are cut out.
        device: Where the result goes.
        seed: The same on all ranks; ``None`` for torch's.
    """
    seed = torch.initial_seed() if seed is None else seed
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name}:{iteration}:{seed}".encode()))
    noise = torch.rand(shape[0] * world_size(), *shape[1:], generator=generator)
    return noise[rank() :: world_size()].to(device, non_blocking=True)


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
