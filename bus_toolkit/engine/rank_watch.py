"""A watch on the ranks of a run: one that is stopped, dead or late is named, with its step and what to look at.

Each rank writes into the store of the process group, some times within the limit, that it is alive and where it is,
and reads whether the next rank is. A rank that gives no sign for as long as ranks wait for each other ends the run: its
neighbour says so and ends, and the launcher ends the others. A rank that is alive but late lets the others wait in a
collective until the group's own limit; the error of that names those that are late. So a rank makes two requests a
period, however many ranks there are.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import torch.distributed as dist

from bus_toolkit.errors import TrainingError

_log = logging.getLogger(__name__)
_KEY = "bus_toolkit/rank/{}"
_SIGNS = 20  # within the limit
_SHORTEST, _LONGEST = 0.2, 10.0  # seconds between two signs
_EXIT = 2
_EARLIER = 0.9  # of the limit
_MOST = 8  # ranks that are named
COMPUTING = "computing step"
_NO_STORE = "rank 0, or the launcher, which keeps the store of the process group, does not answer"
# How errors of torch start when another rank is gone or late; gloo and the store raise bare RuntimeErrors.
_MARKS = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "Broken pipe", "Socket Timeout")
_ADVICE = (
    "Look at that rank's own output above all, then at its machine: memory (`dmesg`), GPU (`nvidia-smi`), storage, "
    "network. How long ranks wait for each other is env_cfg.dist_cfg.timeout, in seconds."
)


class RankWatch:
    """Watch the ranks of the process group that is open.

    Args:
        seconds: How long ranks wait for each other.

    Attributes:
        place: Where this rank is: step and what it does.
    """

    active: ClassVar[RankWatch | None] = None

    def __init__(self, seconds: float) -> None:
        self.seconds, self.place = seconds, "starting"
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self._period = min(max(seconds / _SIGNS, _SHORTEST), _LONGEST)
        store: Any = dist.distributed_c10d._get_default_store()
        # A clone has a connection of its own, so that neither waits for a request of the other.
        self._store = store.clone() if hasattr(store, "clone") else store
        self._answered = time.monotonic()
        self._next = "", self._answered
        self._ended = threading.Event()
        for work in (self._give_signs, self._judge):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """End the watch, before the group is closed."""
        self._ended.set()

    def late(self) -> str:
        """Return what is known of the ranks that give no sign, or are at another place; empty if there are none."""
        if time.monotonic() - self._answered > 5 * self._period:
            return _NO_STORE
        before = self._signs()
        time.sleep(2.5 * self._period)
        signs = self._signs()
        places = {rank: sign.partition(" ")[2] for rank, sign in signs.items()}
        silent = [rank for rank, sign in signs.items() if rank != self.rank and sign == before[rank]]
        late = [rank for rank, place in places.items() if place != self.place and rank not in (self.rank, *silent)]
        parts = [f"rank {rank} gives no sign of life since it was {places[rank]}" for rank in silent]
        parts += [f"rank {rank} is {places[rank]}" for rank in late]
        return "; ".join(parts[:_MOST]) + (f"; and {len(parts) - _MOST} more" if len(parts) > _MOST else "")

    def message(self, what: str) -> str:
        """Return the error of a rank that waits in vain."""
        return f"ranks: {what}; rank {self.rank} is {self.place} and waits, at most {self.seconds:g} s. {_ADVICE}"

    def _signs(self) -> dict[int, str]:
        """Return the last sign of each rank, the count of its signs first."""
        keys = {rank: _KEY.format(rank) for rank in range(self.ranks)}
        try:
            return {r: self._store.get(k).decode() if self._store.check([k]) else "0 starting" for r, k in keys.items()}
        except RuntimeError:
            return {0: "0 gone, with the store of the process group"}

    def _give_signs(self) -> None:
        neighbour, count = _KEY.format((self.rank + 1) % self.ranks), 0
        with contextlib.suppress(RuntimeError):  # the store closes with the run
            while not self._ended.wait(self._period):
                count += 1
                self._store.set(_KEY.format(self.rank), f"{count} {self.place}")
                if self._store.check([neighbour]):
                    sign = self._store.get(neighbour).decode()
                    if sign != self._next[0]:
                        self._next = sign, time.monotonic()
                self._answered = time.monotonic()

    def _judge(self) -> None:
        place, arrived = self.place, time.monotonic()
        while not self._ended.wait(self._period):
            now, (sign, came) = time.monotonic(), self._next
            if self.place != place:
                place, arrived = self.place, now
            if sign and now - self._answered > self.seconds:
                self._end(_NO_STORE)
            elif sign and now - came > self.seconds:
                neighbour = (self.rank + 1) % self.ranks
                self._end(f"rank {neighbour} gives no sign of life since it was {sign.partition(' ')[2]}")
            # NCCL would end the process at its limit, without a word about who is late.
            elif place.startswith(COMPUTING) and now - arrived > _EARLIER * self.seconds and (late := self.late()):
                self._end(late)

    def _end(self, what: str) -> None:
        """End this process from outside its main thread, which may wait in a library for ever."""
        _log.error(self.message(what))
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        os._exit(_EXIT)


def start_watch(seconds: float) -> None:
    """Start to watch, if there are several ranks and none is watched yet."""
    if RankWatch.active is None and dist.is_initialized() and dist.get_world_size() > 1:
        RankWatch.active = RankWatch(seconds)


def stop_watch() -> None:
    """End the watch that was started, if any."""
    if RankWatch.active is not None:
        RankWatch.active.stop()
        RankWatch.active = None


def at(place: str) -> None:
    """Note where this rank is, for what the others say if they wait for it."""
    if RankWatch.active is not None:
        RankWatch.active.place = place


@contextlib.contextmanager
def rank_faults() -> Iterator[None]:
    """Turn errors about another rank into one that names it.

    Raises:
        TrainingError: A rank is gone or late.
    """
    try:
        yield
    except RuntimeError as error:
        watch = RankWatch.active
        is_about_ranks = isinstance(error, dist.DistError) or any(mark in str(error) for mark in _MARKS)
        if watch is None or not is_about_ranks:
            raise
        raise TrainingError(watch.message(watch.late() or str(error).strip().splitlines()[0])) from error
