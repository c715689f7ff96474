"""Rows of all ranks, gathered with gradient: any number of tensors in one collective.

Shapes: B rows of a rank, W ranks, G = B * W rows in global order: row i of rank r is row ``i * W + r``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bus_toolkit.ops.collective import world_size


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (G, ...) of all ranks in global order; every rank must bring the same shape."""
    return gather_together([rows])[0]


def gather_together(parts: Sequence[Tensor]) -> list[Tensor]:
    """Return ``gather_rows`` of several tensors of any dtype, by one collective.

    The backward pass is one collective, too: of the gradient of all rows each rank gets the sum of its own.

    Args:
        parts: Each (B, ...), of the same shape and dtype on every rank.
    """
    return list(parts) if world_size() == 1 else list(_Gather.apply(*parts))


class _Gather(torch.autograd.Function):
    """all_gather of bytes; its backward is a reduce_scatter."""

    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> tuple[Tensor, ...]:  # autograd's own type
        ctx.shapes = [part.shape for part in parts]
        columns = [_as_bytes(part) for part in parts]
        packed = torch.cat(columns, dim=1)
        gathered = packed.new_empty(world_size() * packed.shape[0], packed.shape[1])
        _all_gather(gathered, packed)
        ordered = gathered.unflatten(0, (world_size(), -1)).transpose(0, 1)  # (B, W, bytes)
        pieces = ordered.split([part.shape[1] for part in columns], dim=2)
        outputs = tuple(
            piece.contiguous().view(part.dtype).reshape(-1, *part.shape[1:])
            for piece, part in zip(pieces, parts, strict=True)
        )
        ctx.mark_non_differentiable(*(output for output in outputs if not output.is_floating_point()))
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [place for place, needs in enumerate(ctx.needs_input_grad) if needs]
        columns = [grads[place].reshape(grads[place].shape[0], -1) for place in wanted]
        packed = torch.cat(columns, dim=1)  # of several dtypes in the widest
        by_rank = packed.unflatten(0, (-1, world_size())).transpose(0, 1).flatten(0, 1)
        own = packed.new_empty(packed.shape[0] // world_size(), packed.shape[1])
        _reduce_scatter(own, by_rank)
        results: list[Tensor | None] = [None] * len(grads)
        pieces = own.split([column.shape[1] for column in columns], dim=1)
        for place, piece in zip(wanted, pieces, strict=True):
            results[place] = piece.reshape(ctx.shapes[place]).to(grads[place].dtype)
        return tuple(results)


def _as_bytes(part: Tensor) -> Tensor:
    """Return rows (B, ...) as bytes (B, C)."""
    return part.detach().reshape(part.shape[0], -1).contiguous().view(torch.uint8)


def _all_gather(output: Tensor, rows: Tensor) -> None:
    # torch 2.14 has given the same collective another name.
    getattr(dist, "all_gather_single", dist.all_gather_into_tensor)(output, rows)


def _reduce_scatter(output: Tensor, rows: Tensor) -> None:
    getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)(output, rows)
