"""Work that some ranks do for all: an error of one is an error of all, and none waits for a rank that has failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from bus_toolkit import errors
from bus_toolkit.errors import BusError
from bus_toolkit.ops.collective import rank, world_size

T = TypeVar("T")


def is_first_of_machine() -> bool:
    """Return whether this is the first process of its machine."""
    return int(os.environ.get("LOCAL_RANK", rank())) == 0


def for_all_ranks(work: Callable[[], T], *, here: bool = True) -> T | None:
    """Do ``work`` on the ranks that say so; all ranks call this, and go on together.

    Of a process that is killed meanwhile the others learn by its connection or by their own limit.

    Args:
        work: What to do.
        here: Whether this rank does it.

    Returns:
        What ``work`` returns; ``None`` where it was not done.

    Raises:
        Exception: What ``work`` has raised, on the ranks where it did; elsewhere a ``BusError`` of that kind, with its
            text and the rank.
    """
    if world_size() == 1:
        return work() if here else None
    result, error = None, None
    if here:
        try:
            result = work()
        except Exception as caught:  # whatever it is, the others wait for this rank
            error = caught
    failures: list[Any] = [None] * world_size()
    dist.all_gather_object(failures, None if error is None else _described(error))
    if error is not None:
        raise error
    for number, failure in enumerate(failures):
        if failure is not None:
            kind, text = failure
            raise getattr(errors, kind)(f"rank {number}: {text}")
    return result


def on_first_rank(work: Callable[[], T]) -> T:
    """Let rank 0 do ``work``; return what it returns, which can be pickled, on every rank.

    Raises:
        Exception: As :func:`for_all_ranks`.
    """
    result: list[Any] = [for_all_ranks(work, here=rank() == 0)]
    if world_size() > 1:
        dist.broadcast_object_list(result, src=0)
    return result[0]


def _described(error: Exception) -> tuple[str, str]:
    """Return the name of the error's own class in :mod:`bus_toolkit.errors`, and its text."""
    if not isinstance(error, BusError):
        return BusError.__name__, f"{type(error).__name__}: {error}"
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return next(kinds), str(error)
