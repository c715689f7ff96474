"""Contrast on two ranks never makes a matrix of all rows against all rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bus_toolkit.heads import ITCHead
from bus_toolkit.heads.itc_candidates import FeatureRows
from tests.conftest import TwoRanks

ROWS, WIDTH = 32, 4


class Largest(TorchDispatchMode):
    """Note the largest tensor that an operation returns."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        self.elements = max(
            [self.elements, *(leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, Tensor))]
        )
        return output


def largest_on(rank: int, form: str) -> int:
    head = ITCHead(embed_dim=8, text_dim=8, feature_dim=WIDTH, form=form)
    rows = FeatureRows(*torch.randn(2, ROWS, WIDTH, requires_grad=True), torch.arange(ROWS) * 2 + rank)
    with Largest() as largest:
        head._against_batch(rows, torch.arange(2 * ROWS)).losses["itc"].backward()
    return largest.elements


def test_a_rank_compares_its_own_rows_alone_with_all(two_ranks: TwoRanks) -> None:
    for form in ("softmax", "sigmoid"):
        assert two_ranks(largest_on, form) == [ROWS * 2 * ROWS] * 2
