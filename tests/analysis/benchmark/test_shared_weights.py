"""Models of a benchmark share the weights that they have in common."""

from __future__ import annotations

import torch
from torch import nn

from bus_toolkit.analysis.benchmark.shared_weights import share_weights


def model(width: int) -> nn.Module:
    built = nn.ModuleDict({"same": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "other": nn.Linear(4, width)})
    built["again"] = built["same"]  # a part under two names
    return built


def test_what_both_have_is_one_tensor() -> None:
    owner, other = model(2), model(3)
    freed = share_weights(other, owner)
    assert other["same"].weight is owner["same"].weight is other["again"].weight
    assert other["norm"].running_mean is owner["norm"].running_mean
    assert other["other"].weight is not owner["other"].weight
    # weight 4 x 4, bias 4; of the norm four vectors of 4 and one number of 8 bytes
    assert freed == 4 * (16 + 4 + 16) + 8


def test_what_is_trained_in_one_and_not_in_the_other_stays_apart() -> None:
    owner, other = model(2), model(2)
    owner["same"].requires_grad_(False)
    share_weights(other, owner)
    assert other["same"].weight is not owner["same"].weight and other["other"].weight is owner["other"].weight
    other["other"](torch.ones(1, 4)).sum().backward()
    assert owner["other"].weight.grad is not None
