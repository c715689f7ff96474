"""The data sets inside of wrappers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def inside(dataset: Any) -> list[Any]:
    """Return the data sets directly inside a wrapper; none for a data set that is no wrapper."""
    several = getattr(dataset, "sources", None) or getattr(dataset, "datasets", None)
    if isinstance(several, Mapping):
        several = [getattr(source, "dataset", source) for source in several.values()]
    inner = getattr(dataset, "dataset", None)
    return list(several or ([inner] if hasattr(inner, "__getitem__") else []))


def leaves(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside wrappers, also wrappers of wrappers; one that is no wrapper itself."""
    parts = inside(dataset)
    for part in parts:
        yield from leaves(part)
    if not parts:
        yield dataset


def chosen_rows(size: int, sample: int | None, seed: int) -> list[int]:
    """Return ``sample`` of the rows of a data set of ``size``, drawn at random and in order; all for ``None``."""
    if sample is None or sample >= size:
        return list(range(size))
    return sorted(np.random.default_rng(seed).choice(size, sample, replace=False).tolist())
