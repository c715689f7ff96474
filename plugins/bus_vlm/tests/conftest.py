"""Random candidates, every second time such that many numbers are equal, and a view of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.selectors import BlockView
from bus_toolkit.structures import TextTokens


class Draws:
    """Random numbers in float64; with an odd seed 1 or -1, so that sums of products are exact and often equal."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.has_ties = seed % 2 == 1

    def features(self, *shape: int) -> Tensor:
        """Return vectors; those of ties have 4 or 16 numbers, whose norm is exact, too."""
        if self.has_ties:
            return torch.randint(0, 2, shape, generator=self._generator).double() * 2 - 1
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def attention(self, *shape: int) -> Tensor:
        """Return rows of positive numbers; those of ties are sixteenths."""
        if self.has_ties:
            return (torch.randint(0, 5, shape, generator=self._generator).double() + 1) / 16
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)


def view_of(patches: Tensor, text: TextTokens | None = None, block: int = 1, **inside: Any) -> BlockView:
    """Return a view of ``patches`` (B, N, D) in whose block the methods that are named return what is given."""
    access = SimpleNamespace(**{name: lambda value=value: value for name, value in inside.items()})
    batch, count = patches.shape[:2]
    origin = torch.arange(count).expand(batch, -1)
    return BlockView(patches, patches[:, :0], text, origin, block, None, access, (1, count))  # type: ignore[arg-type]


@pytest.fixture(name="hundred")
def _hundred() -> list[Draws]:
    return [Draws(seed) for seed in range(100)]


@pytest.fixture(name="view_of", scope="session")
def _view_of() -> Callable[..., BlockView]:
    return view_of
