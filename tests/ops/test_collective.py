"""Rows and means with one process; two ranks are tested in tests/models/test_ranks.py."""

from __future__ import annotations

import torch

from bus_toolkit.ops import gather_rows
from bus_toolkit.ops.collective import (
    mean_over_ranks,
    own_rows,
)

CPU = torch.device("cpu")


def test_one_process_gathers_its_own_rows() -> None:
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows
    assert own_rows(3, CPU).tolist() == [0, 1, 2]


def test_the_mean_counts_valid_entries_only_and_nothing_valid_is_zero() -> None:
    values = torch.tensor([1.0, 5.0, 9.0], requires_grad=True)
    assert mean_over_ranks(values, torch.tensor([1.0, 0.0, 1.0])).item() == 5.0
    nothing = mean_over_ranks(values, torch.zeros(3))
    assert nothing.item() == 0.0
    nothing.backward()
    assert values.grad is not None
    assert values.grad.abs().sum() == 0
