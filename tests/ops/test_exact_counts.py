"""Counts are exact in half precision too: bfloat16 knows no 257, and a sum of ones there ends at 256."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bus_toolkit.backbones.adapters.base import _weighted_mean
from bus_toolkit.decoders.dense_grid import average_cells
from bus_toolkit.ops import apply_plan, carry_weights, merge_plan
from bus_toolkit.selectors.view import BlockView

HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def view(count: int, dtype: torch.dtype) -> BlockView:
    """Return a view of two candidates, the first of which holds all patches but one."""
    patches = torch.ones(1, 2, 4, dtype=dtype)
    origin = torch.zeros(1, count, dtype=torch.int64)
    origin[:, -1] = 1
    return BlockView(patches, patches[:, :1], None, origin, 1, None, None, (1, count))  # type: ignore[arg-type]


@HALF
def test_sizes_are_exact(dtype: torch.dtype) -> None:
    seen = view(4098, dtype)
    assert seen.sizes().tolist() == [[4097.0, 1.0]]
    assert view(4, torch.float64).sizes().dtype == torch.float64
    plan = merge_plan(torch.tensor([[0]]), torch.zeros(1, 2, dtype=torch.int64), seen.sizes())
    merged = carry_weights(seen.sizes(), plan)
    assert merged is not None and merged.tolist() == [[4098.0]]


@HALF
def test_means_of_many_are_means(dtype: torch.dtype) -> None:
    ones = torch.ones(1, 4096, 2, dtype=dtype)
    plan = merge_plan(torch.tensor([[0]]), torch.zeros(1, 4096, dtype=torch.int64))
    one = torch.ones(1, 1, 2, dtype=dtype)
    torch.testing.assert_close(apply_plan(ones, plan), one, atol=0.02, rtol=0.0)
    cells = average_cells(ones, torch.ones(1, 4096, dtype=torch.bool), (64, 64), 1)
    torch.testing.assert_close(cells, one)
    sizes: Tensor = torch.arange(1, 4097)[None]
    assert torch.equal(_weighted_mean(ones, sizes), one[:, 0])
