"""The kit names the fault of optimizers and schedules that are broken on purpose; torch's and MMEngine's pass."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim.scheduler import LinearLR
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from bus_toolkit.errors import ComponentError
from bus_toolkit.testing import ConformanceError, check_optimizer, check_scheduler


class Uphill(torch.optim.SGD):
    def __init__(self, params: object, lr: float) -> None:
        super().__init__(params, lr=lr, maximize=True)


class OneRate(torch.optim.SGD):
    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            group["lr"] = 0.01
        super().step()


class Forgetful(torch.optim.SGD):
    """Its steps shrink with a count that is in no state dict."""

    count = 0

    def step(self, closure: object = None) -> None:
        self.count += 1
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.5**self.count
        super().step()


class Negative(LRSchedulerMixin, _ParamScheduler):
    def _get_value(self) -> list[float]:
        return [-1.0 for _ in self.optimizer.param_groups]


def test_what_the_libraries_bring_passes() -> None:
    check_optimizer(torch.optim.AdamW)
    check_scheduler(LinearLR, start_factor=0.1)


@pytest.mark.parametrize(
    ("check", "part", "what"),
    [
        (check_optimizer, Uphill, r"steps: the loss goes from .* to .* in 20 steps"),
        (check_optimizer, OneRate, "groups: a parameter in a group with lr 0 moved"),
        (check_optimizer, Forgetful, "resumed: after resuming, a parameter differs by"),
        (check_scheduler, Negative, "rates: the rate becomes -1.0"),
    ],
)
def test_broken_ones_are_caught_by_name(check, part: type, what: str) -> None:
    with pytest.raises(ConformanceError, match=what):
        check(part)


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ComponentError, match="AdamW has no argument 'weight_deca'"):
        check_optimizer(torch.optim.AdamW, weight_deca=0.1)
    with pytest.raises(ComponentError, match="optimizer registry: no optimizer named 'Nope'"):
        check_optimizer("Nope")
