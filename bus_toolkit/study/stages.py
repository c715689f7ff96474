"""The order of the stages of a model in counts of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

_T = TypeVar("_T")


def in_order(counts: Mapping[str, _T]) -> dict[str, _T]:
    """Return counts by stage in the order in which a model has them: "block 1", ..., "decoder", "layer 1", ...

    In JSON with sorted keys "block 10" is before "block 2". The words come in alphabetical order as it is.
    """
    return {stage: counts[stage] for stage in sorted(counts, key=_place)}


def _place(stage: str) -> tuple[str, int]:
    word, _, number = stage.partition(" ")
    return word, int(number) if number.isdecimal() else 0
