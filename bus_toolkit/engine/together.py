"""What one rank does for all: the others get its result or its error, and none waits for a rank that has failed."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from bus_toolkit.errors import BusError
from bus_toolkit.ops.collective import rank, world_size

T = TypeVar("T")


def on_first_rank(work: Callable[[], T]) -> T:
    """Let rank 0 do something, and return what it returns on every rank.

    Args:
        work: Returns what can be pickled.

    Raises:
        BusError: ``work`` has raised it; on every rank. Any other error rank 0 raises itself, the others a ``BusError``
            with its text.
    """
    if world_size() == 1:
        return work()
    result, error = None, None
    if rank() == 0:
        try:
            result = work()
        except Exception as caught:  # the others wait for this rank, whatever has happened to it
            error = caught
    news: list[Any] = [(result, None if error is None else (type(error), str(error)))]
    dist.broadcast_object_list(news, src=0)
    result, failure = news[0]
    if error is not None:
        raise error
    if failure is not None:
        kind, text = failure
        raise kind(text) if issubclass(kind, BusError) else BusError(f"rank 0 has failed: {kind.__name__}: {text}")
    return result


def problems_of_ranks(problem: str) -> list[str]:
    """Return the problems of all ranks, each with its rank and machine; the same list on every rank.

    Args:
        problem: That of this rank; empty for none.
    """
    if world_size() == 1:
        return [problem] if problem else []
    problems: list[Any] = [None] * world_size()
    dist.all_gather_object(problems, (platform.node(), problem))
    return [f"rank {number} ({machine}): {text}" for number, (machine, text) in enumerate(problems) if text]
