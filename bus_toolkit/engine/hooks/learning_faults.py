"""Look whether a training learns: stop one that has diverged, warn of parts that never learn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.loss_faults import LossFaults, broken_tensors
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.selector_faults import SelectorFaults
from bus_toolkit.errors import ConfigError, TrainingError
from bus_toolkit.registry import HOOKS

_log = logging.getLogger(__name__)
_FEW = 10  # steps in which a loss may be 0 by chance, as that of patches without a box in the batch


@HOOKS.register_module()
class LearningFaultsHook(Hook):
    """Look for what keeps a training from learning; goes into ``default_hooks``.

    It stops the training with an error when the losses are not finite in ``max_nonfinite_steps`` steps in a row (or to
    its end), and at once when a parameter is not: nothing brings that one back. Single losses that are not finite are
    warned of; float16 has them, and leaves those steps out. A checkpoint of such parameters is not written.

    It warns once of selectors whose scores are NaN or that have no gradient, and of a loss that is always 0.

    Args:
        interval: Iterations between two readings, each of which waits for the device; the first and the last iteration
            are read, too.
        max_nonfinite_steps: How many steps in a row the losses may not be finite; ``None`` never stops a training.

    Raises:
        ConfigError: Either is below 1.
    """

    priority = "NORMAL"

    def __init__(self, interval: int = 50, max_nonfinite_steps: int | None = 50) -> None:
        for name, value in (("interval", interval), ("max_nonfinite_steps", max_nonfinite_steps)):
            if value is not None and value < 1:
                raise ConfigError(f"LearningFaultsHook.{name}: must be at least 1, got {value}.")
        self.interval, self.max_nonfinite_steps = interval, max_nonfinite_steps
        self._losses = LossFaults()
        self._steps = 0
        self._warned: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Start counting."""
        self._losses, self._steps, self._warned = LossFaults(), 0, set()
        self._selectors = SelectorFaults(unwrap(runner.model))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Watch the scores of a step after which is read."""
        if self._is_reading(runner):
            self._selectors.watch()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Count; from time to time, read.

        Raises:
            TrainingError: The training has diverged.
        """
        self._losses.add(outputs or {})
        is_reading = self._is_reading(runner)
        self._steps += 1
        if is_reading:
            self._selectors.report(runner.iter + 1)
            self._check_finite(runner)
            self._warn_of_zeros()

    def before_checkpoint(self, runner: Runner) -> None:
        """Refuse to write parameters that are not finite over good ones.

        Raises:
            TrainingError: Some are not.
        """
        broken = broken_tensors(unwrap(runner.model))
        if broken and self.max_nonfinite_steps is not None:
            raise TrainingError(self._diverged(runner, runner.iter, broken))

    def state_dict(self) -> dict[str, Any]:
        """Return in how many steps in a row the losses were not finite."""
        return {"streak": self._losses.read_streak()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let these steps count in a resumed training."""
        self._losses.start_from(state["streak"])

    def _is_reading(self, runner: Runner) -> bool:
        done = runner.iter + 1
        return done % self.interval == 0 or done == runner.max_iters or self._steps == 0

    def _check_finite(self, runner: Runner) -> None:
        streak, done = self._losses.read_streak(), runner.iter + 1
        if not streak:
            return
        broken = broken_tensors(unwrap(runner.model))
        to_the_end = done == runner.max_iters and streak > 1
        if self.max_nonfinite_steps is not None and (broken or to_the_end or streak >= self.max_nonfinite_steps):
            raise TrainingError(self._diverged(runner, done, broken))
        if "finite" not in self._warned:
            self._warned.add("finite")
            _log.warning(
                "The losses are not finite at step %d (%s), in %d steps in a row. Look at the data and at the learning "
                "rate.",
                done,
                self._bad_losses(),
                streak,
            )

    def _diverged(self, runner: Runner, step: int, broken: list[str]) -> str:
        """Return the message about a training that cannot go on."""
        latest = latest_checkpoint(runner.work_dir)
        parameters = f" and {len(broken)} tensors of the model, the first {broken[0]}," if broken else ""
        saved = f"The newest good checkpoint is {latest}." if latest else "No checkpoint was written yet."
        return (
            f"training: the losses ({self._bad_losses()}){parameters} are not finite at step {step}. {saved} Lower "
            "optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad: {max_norm: 1.0}), train in bfloat16 "
            "in place of float16, or look at the data of this step; default_hooks.learning_faults says when a training "
            "stops for this."
        )

    def _bad_losses(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._losses.read_bad().items()) or "finite so far"

    def _warn_of_zeros(self) -> None:
        for name, steps in self._losses.read_zeros(_FEW).items():
            if name not in self._warned:
                self._warned.add(name)
                _log.warning(
                    "%s: exactly 0 in all %d steps so far, so nothing learns from it. Either its head has weight 0, or "
                    "the data have nothing for it (such as boxes), or a part gives it nothing to train. Remove the "
                    "head, or give it what it needs.",
                    name,
                    steps,
                )
