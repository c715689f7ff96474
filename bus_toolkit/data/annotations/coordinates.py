"""Numbers of boxes in JSON, which knows NaN, infinity, 1e308 and whole numbers of any length."""

from __future__ import annotations

from collections.abc import Iterable

_LIMIT = 1e9
"""Pixels: no picture is so large, and float32 counts such boxes without overflow."""


def are_coordinates(numbers: Iterable[float]) -> bool:
    """Return whether numbers can be of a box: finite, and smaller than any picture could ask for.

    ``math.isfinite`` ends in an ``OverflowError`` for a whole number that no float holds.
    """
    return all(-_LIMIT < number < _LIMIT for number in numbers)
