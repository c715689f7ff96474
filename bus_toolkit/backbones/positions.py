"""Positions of a pass's tokens in the image, for relative and rotary position encodings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.ops.token_plan import TokenPlan

NOWHERE = -1


@dataclass
class TokenPositions:
    """The place of each patch token.

    A kept token keeps its position; a merged token has the position of the patch it was merged into; the fused token
    has no position, like the prefix. This is our choice: the sources of the selectors have only absolute positions,
    which are part of the tokens.

    Attributes:
        grid: Patch grid of the image (rows, columns).
        patches: int64 (B, S), the original patch whose position each token has, or ``NOWHERE`` (-1), in the order of
            the tokens, whatever that is; ``None`` as long as all patches are there, in the order of the image.
        cache: What an adapter has computed for these places; shared by all blocks up to the next reduction.
    """

    grid: tuple[int, int]
    patches: Tensor | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether no token is gone or has moved."""
        return self.patches is None

    def after(self, plan: TokenPlan) -> TokenPositions:
        """Return the positions after a reduction."""
        if plan.is_identity:
            return self
        if self.patches is None:
            patches = plan.keep_indices
        else:
            patches = self.patches.gather(1, plan.keep_indices)
        if plan.fused:
            patches = torch.cat([patches, patches.new_full((patches.shape[0], 1), NOWHERE)], dim=1)
        return TokenPositions(self.grid, patches)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:  # whatever the adapter keeps
        """Return what ``compute`` gave when it was first asked for under ``name``."""
        if name not in self.cache:
            self.cache[name] = compute()
        return self.cache[name]
