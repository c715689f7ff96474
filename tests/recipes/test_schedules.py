"""The learning rates of the paper-scale recipes are those that the sources' formulas give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from tests.recipes.shipped import config_of

PER_EPOCH = 3200  # iterations: longer than the warm-up of every recipe that goes by epochs


def rates(schedules: Sequence[Mapping[str, Any]], ends: Mapping[bool, int], base: float, steps: int) -> list[float]:
    """Return the rate of each iteration for a parameter group of rate ``base``."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    built = [
        PARAM_SCHEDULERS.build({"end": ends[node["by_epoch"]], **node}, default_args={"optimizer": optimizer})
        for node in schedules
    ]
    seen = []
    for iteration in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for schedule in built:
            if not schedule.by_epoch or (iteration + 1) % PER_EPOCH == 0:
                schedule.step()
    return seen


def cosine(least: float, base: float, epochs: int) -> Callable[[int], float]:
    """Return the rates after the warm-up by salesforce/ALBEF:scheduler/cosine_lr.py."""
    return lambda epoch: least + 0.5 * (base - least) * (1 + math.cos(math.pi * epoch / epochs))


def by_tenths(epoch: int) -> float:
    """Return the rates of guoyang9/ELIP:BLIP/utils.py, step_lr_schedule."""
    return max(1e-6, 1e-4 * 0.9**epoch)


@pytest.mark.parametrize(
    ("recipe", "base", "first", "warm_up", "of_epoch"),
    [
        ("albef/albef_base_4m", 1e-4, 1e-5, 2000, cosine(1e-5, 1e-4, 30)),
        ("elip/elip_albef_base_4m", 1e-4, 1e-5, 1000, cosine(1e-5, 1e-4, 20)),
        ("elip/elip_blip_base_4m", 1e-4, 1e-6, 3000, by_tenths),
        ("bus/bus_base_4m", 1e-4, 1e-6, 2000, cosine(1e-6, 1e-4, 30)),
        ("bus/bus_base_4m", 1e-5, 1e-7, 2000, cosine(1e-6, 1e-5, 30)),  # the CLIP tower
    ],
)
def test_the_rate_warms_up_by_iteration_and_falls_by_epoch(
    recipe: str, base: float, first: float, warm_up: int, of_epoch: Callable[[int], float]
) -> None:
    config = config_of(recipe)
    seen = rates(config.param_scheduler, {True: config.train_cfg.max_epochs, False: 10**9}, base, 2 * PER_EPOCH + 1)
    assert seen[0] == pytest.approx(first)
    assert seen[warm_up // 2] == pytest.approx((first + base) / 2, rel=1e-3)
    assert seen[warm_up:PER_EPOCH] == pytest.approx([base] * (PER_EPOCH - warm_up))
    assert seen[PER_EPOCH : 2 * PER_EPOCH] == pytest.approx([of_epoch(1)] * PER_EPOCH)
    assert seen[2 * PER_EPOCH] == pytest.approx(of_epoch(2))


def test_meters_rate_rises_for_a_tenth_of_the_steps_and_falls_to_nothing() -> None:
    """As transformers' get_polynomial_decay_schedule_with_warmup of power 1, with a thousandth of the steps."""
    config = config_of("elip/elip_meter_base_4m")
    schedules = [{**node, "begin": node.begin // 1000, "end": node.end // 1000} for node in config.param_scheduler]
    assert config.train_cfg.max_iters == 100_000 * config.optim_wrapper.accumulative_counts
    steps = config.train_cfg.max_iters // 1000
    seen = rates(schedules, {False: steps}, 1e-5, steps)
    wanted = [1e-5 * min(step / 160, (1600 - step) / 1440) for step in range(steps)]
    assert seen == pytest.approx(wanted, abs=1e-7)  # MMEngine's warm-up ends a step earlier
