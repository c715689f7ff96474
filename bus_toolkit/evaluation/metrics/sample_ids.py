"""Which sample a result is of: the ids by which verdicts on the same question can be compared between models."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class SampleId:
    """Which sample a result is of.

    Attributes:
        id: ``text_id`` of the sample; ``None`` where it has none.
        image: ``image_id``; ``None`` where it has none.
        kind: ``question_type``; empty where it has none.
    """

    id: Hashable
    image: Hashable
    kind: str

    @classmethod
    def of(cls, sample: dict) -> SampleId:
        """Return that of a predicted sample."""
        return cls(
            as_key(sample.get("text_id")), as_key(sample.get("image_id")), str(sample.get("question_type") or "")
        )


def as_key(value: Any) -> Hashable:
    """Return an id as something that can be compared: numbers of torch and NumPy as those of Python."""
    return value.item() if isinstance(value, Tensor | np.generic) else value


def in_order(ids: Sequence[Hashable]) -> list[int]:
    """Return the positions of ids in ascending order: numbers first, then words; equal ones in the order given."""

    def key(position: int) -> tuple[bool, float, str]:
        value = ids[position]
        return (False, value, "") if isinstance(value, int | float) else (True, 0.0, str(value))

    return sorted(range(len(ids)), key=key)
