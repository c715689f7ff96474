"""A step of the optimizer is one kernel where the config leaves it open and torch has it for the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from bus_toolkit.engine.fused_optimizer import keep_own_step, with_fused_step


class Own(torch.optim.AdamW):
    """Not torch's own class: what it makes of ``fused`` is not known."""


def asked(optimizer: Any, model: nn.Module | None = None) -> Any:
    return with_fused_step({"optimizer": optimizer}, model or nn.Linear(2, 2))["optimizer"]


@pytest.mark.parametrize("kind", ["AdamW", "Adam", "SGD", "Adagrad", torch.optim.AdamW])
def test_it_is_fused(kind: Any) -> None:
    assert asked({"type": kind, "lr": 0.1}) == {"type": kind, "lr": 0.1, "fused": True}


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "RMSprop", "lr": 0.1},
        {"type": "Unknown"},
        {"type": Own, "lr": 0.1},
        {"type": "AdamW", "fused": False},
        {"type": "AdamW", "foreach": True},
        {"type": "AdamW", "differentiable": True},
    ],
)
def test_the_config_decides(optimizer: dict[str, Any]) -> None:
    assert asked(optimizer) == optimizer


def test_what_has_no_kernel_is_left_as_it_is() -> None:
    assert "fused" not in asked({"type": "AdamW"}, nn.Linear(2, 2, device="meta"))
    assert "fused" not in asked({"type": "AdamW"}, nn.Linear(2, 2, dtype=torch.complex64))
    built = build_optim_wrapper(nn.Linear(2, 2), {"optimizer": {"type": "SGD", "lr": 0.1}})
    assert with_fused_step(built, nn.Linear(2, 2)) is built


def test_the_step_is_that_of_the_plain_optimizer() -> None:
    results = []
    for fused in (None, True):
        torch.manual_seed(0)
        model = nn.Linear(8, 8, dtype=torch.float64)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.02, fused=fused)
        for _ in range(5):
            model(torch.ones(2, 8, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
        results.append(model.weight.detach())
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("saved", "built"), [(None, True), (True, False), (False, None)])
def test_a_resumed_optimizer_takes_its_steps_as_it_was_built(saved: bool | None, built: bool | None) -> None:
    def optimizer(fused: bool | None, lr: float) -> torch.optim.AdamW:
        made = torch.optim.AdamW([nn.Parameter(torch.ones(2))], lr=lr, fused=fused)
        made.param_groups[0]["params"][0].grad = torch.ones(2)
        return made

    before, after = optimizer(saved, 0.1), optimizer(built, 0.2)
    before.step()
    state = before.state_dict()
    keep_own_step(after)
    after.load_state_dict(state)
    after.step()
    group = after.param_groups[0]
    assert group["fused"] is built and group["lr"] == 0.1  # all else is the checkpoint's
    assert state["param_groups"][0]["fused"] is saved
    assert float(after.state[group["params"][0]]["step"]) == 2.0
