"""Samples apart by kind, such as the type of a question."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


def by_kind(kinds: Iterable[str], values: Iterable[_T]) -> dict[str, list[_T]]:
    """Return the values of each kind, kinds in alphabetical order; values of the empty kind belong to none.

    Names are parts of a metric's key: see :func:`key_of`.
    """
    grouped: dict[str, list[_T]] = {}
    for kind, value in zip(kinds, values, strict=True):
        grouped.setdefault(key_of(kind), []).append(value)
    grouped.pop("", None)
    return dict(sorted(grouped.items()))


def key_of(kind: str) -> str:
    """Return a kind's name as it is in a metric's key: letters and digits stay, all else becomes one underscore."""
    return re.sub(r"\W+", "_", kind).strip("_")
