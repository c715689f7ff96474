"""The selector that every other one has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView


class RandomSelector(PatchSelector):
    """Keep patches at random (``Random``): the baseline that published benchmarks find hard to beat.

    In training each image gets new random scores. In eval mode one fixed pattern serves all images, so that results
    repeat and no image depends on its batch.
    """

    def score(self, view: BlockView) -> Tensor:
        """Return uniform noise (B, N)."""
        return self._noise(view).to(at_least_float32_dtype(view.patches))

    def _noise(self, view: BlockView) -> Tensor:
        batch, num_tokens = view.patches.shape[:2]
        if self.training:
            return torch.rand(batch, num_tokens, device=view.patches.device)
        generator = torch.Generator().manual_seed(int(num_tokens))
        pattern = torch.rand(num_tokens, generator=generator)
        return pattern.to(view.patches.device).expand(batch, num_tokens)
