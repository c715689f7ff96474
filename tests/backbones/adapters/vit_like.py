"""What the tests need to know of a kind of transformer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

WIDTH, BLOCKS, SIDE = 32, 3, 32


@dataclass(frozen=True)
class VitLike:
    """How to build one, and what its own library says that its tokens are.

    Attributes:
        name: What to call it.
        build: Returns the module.
        tokens: The library's own forward pass: images to (B, P + N, D).
        num_prefix: Prefix tokens P.
        pooled: The library's own pooled output, (B, D), where it is not the first of the tokens.
    """

    name: str
    build: Callable[[], nn.Module]
    tokens: Callable[[Any, Tensor], Tensor]
    num_prefix: int = 1
    pooled: Callable[[Any, Tensor], Tensor] | None = None

    @property
    def pools(self) -> bool:
        """Whether a pooled token comes before the others."""
        return not self.num_prefix or self.pooled is not None

    def fresh(self) -> nn.Module:
        """Return it in eval mode with random numbers in every parameter, layer scales and position tables too."""
        torch.manual_seed(0)
        module = self.build()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + 0.2)
        module.eval()
        return module


def pictures(batch: int = 2, side: int = SIDE) -> Tensor:
    """Return ``batch`` images of noise."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(2))
