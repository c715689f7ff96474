"""Calls of a model by several threads, one after the other."""

from __future__ import annotations

from threading import RLock, get_ident
from typing import Any


class OneAtATime:
    """A lock that the thread which holds it may take again; copies, also in another process, are free.

    What the modules of a model are called with, and what their layers note, is kept with the model: servers that call
    it from several threads would mix their requests.
    """

    def __init__(self) -> None:
        self._lock, self._owner, self._depth = RLock(), 0, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == get_ident() and self._depth > 0

    def take(self) -> None:
        """Wait until no other thread holds it."""
        self._lock.acquire()
        self._owner, self._depth = get_ident(), self._depth + 1

    def give_back(self) -> None:
        """Undo one ``take`` of this thread."""
        self._depth -= 1
        self._lock.release()
