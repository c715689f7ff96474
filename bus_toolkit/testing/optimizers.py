"""The conformance kit for optimizers and for schedules of their learning rates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from bus_toolkit.registry import OPTIMIZERS, PARAM_SCHEDULERS
from bus_toolkit.testing.check import run_checks
from bus_toolkit.testing.engine_parts import EngineFactory

_STEPS = 20


class OptimizerCase:
    """An optimizer of two groups of parameters, the second of which has a learning rate of 0."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        provided = frozenset({"params"})
        self.factory = EngineFactory(OPTIMIZERS, part, settings, defaults={"lr": 0.01}, provided=provided)
        self.name = self.factory.name

    def build(self) -> Any:
        """Return one on new parameters."""
        return self.on(nn.Linear(4, 3), nn.Linear(3, 1))

    def on(self, trained: nn.Module, still: nn.Module) -> Any:
        """Return one that trains ``trained`` and holds ``still`` at a learning rate of 0."""
        return self.factory.build(params=[{"params": trained.parameters()}, {"params": still.parameters(), "lr": 0.0}])


def check_optimizer(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that an optimizer works with MMEngine's wrapper, groups of parameters and checkpoints.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.OPTIMIZERS``), or its class.
        **settings: Arguments beside ``params``; ``lr`` is 0.01 where it takes one.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(OptimizerCase(part, settings), (check_steps, check_groups, check_unused, check_resumed))


def check_steps(case: OptimizerCase) -> None:
    """Its steps make a loss smaller, and parameters stay finite."""
    trained, still = _modules()
    optimizer = case.on(trained, still)
    assert isinstance(optimizer, Optimizer), f"it is no torch.optim.Optimizer but a {type(optimizer).__name__}"
    first, last = _train(optimizer, trained, still, _STEPS)
    assert all(torch.isfinite(p).all() for p in trained.parameters()), "a parameter is not finite"
    assert last < first, f"the loss goes from {first:.4g} to {last:.4g} in {_STEPS} steps"


def check_groups(case: OptimizerCase) -> None:
    """Each group of parameters has its own learning rate; at 0 nothing moves."""
    trained, still = _modules()
    before = [p.detach().clone() for p in still.parameters()]
    _train(case.on(trained, still), trained, still, 2)
    moved = [not torch.equal(p, old) for p, old in zip(still.parameters(), before, strict=True)]
    assert not any(moved), "a parameter in a group with lr 0 moved"


def check_unused(case: OptimizerCase) -> None:
    """A parameter without a gradient is left alone (heads that join in later have none at first)."""
    trained, still = _modules()
    optimizer, before = case.on(trained, still), [p.detach().clone() for p in trained.parameters()]
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(trained.parameters(), before, strict=True)), "a parameter moved"


def check_resumed(case: OptimizerCase) -> None:
    """After loading its state dict a training goes on with the same numbers."""
    trained, still = _modules()
    optimizer = case.on(trained, still)
    _train(optimizer, trained, still, 3)
    copied, copied_still = copy.deepcopy(trained), copy.deepcopy(still)
    resumed = case.on(copied, copied_still)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _train(optimizer, trained, still, 3)
    _train(resumed, copied, copied_still, 3)
    for one, two in zip(trained.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one, two), f"after resuming, a parameter differs by {(one - two).abs().max().item():.3g}"


class SchedulerCase:
    """A schedule of the learning rate of a plain SGD, over 10 steps."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        provided = frozenset({"optimizer"})
        self.factory = EngineFactory(PARAM_SCHEDULERS, part, settings, defaults={"end": 10}, provided=provided)
        self.name = self.factory.name

    def build(self) -> Any:
        """Return one on a new optimizer."""
        return self.factory.build(optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))

    def rates(self, scheduler: Any, steps: int) -> list[float]:
        """Return the learning rates of the next steps."""
        rates = []
        for _ in range(steps):
            scheduler.optimizer.step()
            scheduler.step()
            rates.append(float(scheduler.optimizer.param_groups[0]["lr"]))
        return rates


def check_scheduler(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that a schedule works as MMEngine's Runner uses it, and resumes.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.PARAM_SCHEDULERS``), or its class.
        **settings: Arguments beside ``optimizer``; ``end`` is 10 where it takes one.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(SchedulerCase(part, settings), (check_rates, check_resumed_schedule))


def check_rates(case: SchedulerCase) -> None:
    """Learning rates are finite, never negative, and not always the same."""
    scheduler = case.build()
    assert isinstance(scheduler, _ParamScheduler), "it must derive from mmengine's _ParamScheduler"
    rates = [float(scheduler.optimizer.param_groups[0]["lr"]), *case.rates(scheduler, 12)]
    wrong = [rate for rate in rates if not (math.isfinite(rate) and rate >= 0.0)]
    assert not wrong, f"the rate becomes {wrong[0]}"
    assert len(set(rates)) > 1, f"the rate stays {rates[0]} for 12 steps"


def check_resumed_schedule(case: SchedulerCase) -> None:
    """After loading its state dict the rates go on as they would have."""
    scheduler = case.build()
    case.rates(scheduler, 4)
    resumed = case.build()
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    resumed.optimizer.load_state_dict(copy.deepcopy(scheduler.optimizer.state_dict()))
    wanted, got = case.rates(scheduler, 4), case.rates(resumed, 4)
    assert got == wanted, f"after resuming, the rates are {got}, not {wanted}"


def _modules() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(4, 3), nn.Linear(3, 1)


def _train(optimizer: Any, trained: nn.Module, still: nn.Module, steps: int) -> tuple[float, float]:
    """Fit fixed targets; return the first and the last loss."""
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(16, 4, generator=generator), torch.randn(16, 1, generator=generator)

    def loss() -> Tensor:
        return (still(torch.tanh(trained(inputs))) - targets).square().mean()

    first = loss().item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return first, loss().item()
