"""Samples apart by kind, such as the type of a question."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


def by_kind(kinds: Iterable[str], values: Iterable[_T]) -> dict[str, list[_T]]:
    """Return the values of each kind, kinds in alphabetical order; values of the empty kind belong to none.

    Letters and digits of a kind's name stay, all else becomes one underscore: names are parts of a metric's key.
    """
    grouped: dict[str, list[_T]] = {}
    for kind, value in zip(kinds, values, strict=True):
        grouped.setdefault(re.sub(r"\W+", "_", kind).strip("_"), []).append(value)
    grouped.pop("", None)
    return dict(sorted(grouped.items()))
