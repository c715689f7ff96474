"""A number of each rank, of which all ranks learn the largest without waiting for each other."""

from __future__ import annotations

import datetime
from typing import Any

import torch
import torch.distributed as dist


class Agreement:
    """Exchange a number at each call; what comes back is the largest number of the call before, on every rank.

    The sum of a step is on its way while the step is computed, over gloo and so beside the device: neither the device
    nor a slower rank is waited for, unless it is a whole step late. All ranks must call equally often.

    Args:
        seconds: How long to wait for a rank that is late.
    """

    def __init__(self, seconds: float) -> None:
        self._is_alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
        self._group: Any = None
        self._sent: tuple[torch.Tensor, Any] | None = None
        if not self._is_alone:
            self._group = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=seconds))

    def exchange(self, own: int) -> int:
        """Give a number; return the largest of all ranks at the call before (alone: ``own``).

        Raises:
            RuntimeError: A rank is dead or later than ``seconds``.
        """
        if self._is_alone:
            return own
        largest = self._take()
        number = torch.tensor(own)
        self._sent = number, dist.all_reduce(number, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return largest

    def now(self, own: int) -> int:
        """Return the largest number that the ranks give at this call; each of them waits for all."""
        self._take()
        number = torch.tensor(own)
        if not self._is_alone:
            dist.all_reduce(number, dist.ReduceOp.MAX, group=self._group)
        return int(number)

    def _take(self) -> int:
        if self._sent is None:
            return 0
        (number, work), self._sent = self._sent, None
        work.wait()
        return int(number)
