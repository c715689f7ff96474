"""Schedules that do not do what a training of this length wants of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from mmengine.optim.scheduler.param_scheduler import CosineAnnealingParamScheduler

_log = logging.getLogger(__name__)


def warn_of_climbing(schedules: Iterable[Any], epochs: int, iterations: int) -> None:
    """Warn of a cosine that has reached its end before the training does: from there on it rises again.

    It may be meant, as warm restarts are; often only the length of the training was changed.

    Args:
        schedules: MMEngine's schedules, built.
        epochs: Of the whole training.
        iterations: The same in iterations.
    """
    for schedule in schedules:
        if not isinstance(schedule, CosineAnnealingParamScheduler):
            continue
        total, unit = (epochs, "epochs") if schedule.by_epoch else (iterations, "iterations")
        steps = min(schedule.end, total) - schedule.begin
        if steps > schedule.T_max + 1:
            _log.warning(
                "param_scheduler: %s falls for T_max = %d %s and rises again in the %d after them. Set T_max to %d, "
                "leave it out for the distance from begin to end, or set end.",
                *(type(schedule).__name__, schedule.T_max, unit, steps - schedule.T_max, steps),
            )
