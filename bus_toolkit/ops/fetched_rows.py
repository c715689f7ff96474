"""Rows of other ranks by their numbers: only those that are asked for travel, with gradient.

Shapes: B rows of a rank, W ranks, R rows that a rank asks for, by their numbers in global order: row i of rank r is row
``i * W + r``. A rank's own rows never travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bus_toolkit.ops.collective import rank, world_size
from bus_toolkit.ops.gathered_rows import gather_rows


@dataclass(frozen=True)
class RowPlan:
    """Which rows go where.

    Attributes:
        index: int64 (R,), where a row asked for is among a rank's own rows, followed by those that it receives.
        send: int64 (S,), this rank's rows that others ask for, by rank; ``None`` where nothing travels.
        send_sizes: How many of them go to each rank.
        receive_sizes: How many rows come from each rank.
    """

    index: Tensor
    send: Tensor | None = None
    send_sizes: tuple[int, ...] = ()
    receive_sizes: tuple[int, ...] = ()

    def fetch(self, *tables: Tensor | None) -> list[Any]:
        """Return the rows asked for of each table, with gradient: one collective a dtype.

        Args:
            tables: Each this rank's rows (B, ...), of the same shape but for B and dtype on every rank; ``None`` stays.
        """
        return [None if table is None else table[self.index] for table in self.held(*tables)]

    def held(self, *tables: Tensor | None) -> list[Any]:
        """Return of each table this rank's own rows and, after them, those that came for it: ``index`` counts these.

        Args:
            tables: As for ``fetch``.
        """
        given = [table for table in tables if table is not None]
        rows = iter(given if self.send is None else self._with_received(given))
        return [None if table is None else next(rows) for table in tables]

    def _with_received(self, tables: Sequence[Tensor]) -> list[Tensor]:
        assert self.send is not None
        first = next((table.dtype for table in tables if table.is_floating_point()), torch.float32)
        # Marks travel as numbers with the rest: a collective of their own would take as long as all of it.
        floats = [table.to(first) if table.dtype is torch.bool else table for table in tables]
        received: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(table.dtype for table in floats):
            places = [place for place, table in enumerate(floats) if table.dtype is dtype]
            columns = [floats[place].reshape(floats[place].shape[0], -1) for place in places]
            packed = torch.cat([column[self.send] for column in columns], dim=1)
            arrived = _AllToAll.apply(packed, self.send_sizes, self.receive_sizes)
            received |= zip(places, arrived.split([column.shape[1] for column in columns], dim=1), strict=True)
        return [
            torch.cat([table, received[place].reshape(-1, *table.shape[1:]).to(table.dtype)])
            for place, table in enumerate(tables)
        ]


def plan_fetches(
    wanted: Sequence[Tensor], num_local: Sequence[int], lengths: Sequence[int] = ()
) -> tuple[list[RowPlan], list[int]]:
    """Let all ranks know what each asks for, by one collective and one wait of the processor for the numbers of rows.

    A collective needs these numbers on the processor (NCCL's as gloo's); the rows themselves stay on the device.

    Args:
        wanted: For each plan the numbers (R,) of the rows; as many on every rank.
        num_local: For each plan how many rows B this rank has.
        lengths: Whole numbers of this rank, such as the length of its longest text.

    Returns:
        The plans, and the largest of each of the ``lengths`` of all ranks.
    """
    if world_size() == 1:
        return [RowPlan(rows) for rows in wanted], list(lengths)
    device = wanted[0].device
    own = torch.cat([*wanted, *(torch.full((1,), length, device=device) for length in lengths)])
    asked = gather_rows(own.to(torch.int32)[None]).long()  # (W, all numbers)
    *lists, longest = asked.split([*(rows.shape[0] for rows in wanted), len(lengths)], dim=1)
    ranks = torch.arange(world_size(), device=device)
    from_me = [(rows % world_size() == rank()) & (ranks != rank())[:, None] for rows in lists]  # (W, R) each
    to_me = [((rows % world_size())[:, None] == ranks) & (ranks != rank()) for rows in wanted]  # (R, W) each
    sizes = torch.stack([*(m.sum(dim=1) for m in from_me), *(m.sum(dim=0) for m in to_me)])
    numbers = torch.cat([sizes.flatten(), longest.amax(dim=0)]).tolist()
    by_rank = [tuple(numbers[start : start + world_size()]) for start in range(0, sizes.numel(), world_size())]
    plans = [
        _plan(rows, count, all_rows, mine, by_rank[place], by_rank[len(wanted) + place])
        for place, (rows, count, all_rows, mine) in enumerate(zip(wanted, num_local, lists, from_me, strict=True))
    ]
    return plans, numbers[sizes.numel() :]


def _plan(
    wanted: Tensor,
    num_local: int,
    asked: Tensor,
    from_me: Tensor,
    send_sizes: tuple[int, ...],
    receive_sizes: tuple[int, ...],
) -> RowPlan:
    # By rank, then as they were asked for; a stable sort finds them without asking the device how many there are.
    order = (~from_me).flatten().to(torch.uint8).argsort(stable=True)[: sum(send_sizes)]
    send = (asked // world_size()).flatten()[order]
    owner = wanted % world_size()
    is_remote = owner != rank()
    arrival = owner.masked_fill(~is_remote, world_size()).argsort(stable=True)
    place = torch.empty_like(arrival).scatter_(0, arrival, torch.arange(len(arrival), device=arrival.device))
    index = torch.where(is_remote, num_local + place, wanted // world_size())
    return RowPlan(index, send, send_sizes, receive_sizes)


class _AllToAll(torch.autograd.Function):
    """all_to_all of rows (S, C); the backward pass sends their gradients back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, send: tuple[int, ...], receive: tuple[int, ...]) -> Tensor:
        ctx.sizes = send, receive
        return _exchanged(rows, send, receive)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        send, receive = ctx.sizes
        return _exchanged(grad, receive, send), None, None


def _exchanged(rows: Tensor, send: Sequence[int], receive: Sequence[int]) -> Tensor:
    output = rows.new_empty(sum(receive), rows.shape[1])
    dist.all_to_all_single(output, rows.contiguous(), list(receive), list(send))
    return output
