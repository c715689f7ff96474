"""A selector that keeps fewer tokens of some images than of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import PatchSelector
from bus_toolkit.selectors.view import BlockView


class _Ragged(PatchSelector):
    """Keep half of the tokens of the first image, a quarter of all others."""

    def score(self, view: BlockView) -> Tensor:
        return torch.arange(view.patches.shape[1]).expand(view.patches.shape[:2]).float()

    def marked(self, scores: Tensor) -> Tensor:
        least = torch.full((len(scores), 1), 0.75 * scores.shape[1])
        least[0] = 0.5 * scores.shape[1]
        return scores >= least


@contextmanager
def registered() -> Iterator[str]:
    """Have it in the registry under the name that is given."""
    REGISTRIES.selectors.register(_Ragged, name="RaggedForTests")
    try:
        yield "RaggedForTests"
    finally:
        del REGISTRIES.selectors.entries["RaggedForTests"]
