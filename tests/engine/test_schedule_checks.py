"""Schedules that do not do what a training of this length wants of them."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import CosineAnnealingLR, LinearLR

from bus_toolkit.engine.schedule_checks import warn_of_climbing


def schedule(kind=CosineAnnealingLR, **settings):
    return kind(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"T_max": 4}, "falls for T_max = 4 epochs and rises again in the 6 after them. Set T_max to 10"),
        ({"T_max": 4, "begin": 2, "end": 9}, "rises again in the 3 after them. Set T_max to 7"),
        ({"T_max": 40, "by_epoch": False}, "falls for T_max = 40 iterations and rises again in the 60 after them"),
        ({"T_max": 4, "end": 4}, ""),
        ({"T_max": 10}, ""),
        ({"T_max": 9}, ""),
        ({"T_max": 100}, ""),
    ],
)
def test_a_cosine_that_rises_again_before_the_end_is_warned_of(settings, said, caplog) -> None:
    warn_of_climbing([schedule(LinearLR, end=3), schedule(**settings)], 10, 100)
    assert said in caplog.text and bool(caplog.text) == bool(said)
