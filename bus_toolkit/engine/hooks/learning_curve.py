"""The course of a training: what each validation gave, after how many steps, seconds and MACs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.speed import Speedometer, num_samples


class LearningCurveHook(Hook):
    """Note a point at each validation of a training, the first one before its first step.

    The seconds are those of the training: validations and checkpoints do not count. A study gives it to ``train``; no
    config names it.

    Args:
        macs: Of a training step, a text.
        validate_first: Whether to validate before the first step: what the weights are worth without training.

    Attributes:
        points: A mapping each, with ``step``, ``seconds``, ``macs`` and ``val``, the metrics.
        speed: Samples and seconds of the training.
    """

    priority = "VERY_LOW"  # the other hooks prepare the validation before the first step

    def __init__(self, macs: int, *, validate_first: bool = False) -> None:
        self.macs, self._validates_first = macs, validate_first
        self.points: list[dict[str, Any]] = []
        self.speed = Speedometer()
        self.steps = 0
        self._trains = False

    def before_train(self, runner: Runner) -> None:
        """Validate the weights that the training starts from, if asked; start the clock."""
        self.speed = Speedometer(get_world_size())
        self._trains = True
        if self._validates_first and runner.val_loop is not None:
            runner.val_loop.run()
            runner.model.train()
        self.speed.resume()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training goes on from."""
        speed = self.speed
        counts = {"seconds": speed.seconds, "samples": speed.samples, "iterations": speed.iterations}
        return {"points": self.points, "steps": self.steps, "speed": counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        self.points, self.steps = list(state["points"]), state["steps"]
        for name, value in state["speed"].items():
            setattr(self.speed, name, value)

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock again after a validation or a checkpoint."""
        self.speed.resume()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the step and its samples."""
        self.speed.tick(num_samples(data_batch))
        self.steps = runner.iter + 1

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Note a point of the curve."""
        if not self._trains:
            return
        point = {"step": self.steps, "seconds": round(self.speed.seconds, 2), "macs": self.macs * self.speed.samples}
        self.points.append({**point, "val": finite(metrics or {})})

    def after_val(self, runner: Runner) -> None:
        """Start the clock again."""
        self.speed.resume()

    def after_train(self, runner: Runner) -> None:
        """Note no more."""
        self._trains = False


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as numbers, without those that are none (NaN, infinite), which JSON cannot hold."""
    numbers = {name: float(value) for name, value in metrics.items()}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
