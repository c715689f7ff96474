"""End a training in which nothing gets better; the count goes on in a resumed one."""

from __future__ import annotations

import logging
import math
from typing import Any

from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.monitored import GREATER_KEYS, LESS_KEYS, MissingScores, check_names
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import HOOKS
from bus_toolkit.signatures import forwards_to_super

_log = logging.getLogger(__name__)


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """Stop when a figure of the validation gets no better; goes into ``custom_hooks``.

    As MMEngine's, but for three things. ``min_delta`` is 0: metrics here are fractions (R@1 of 0.30, not 30), and
    MMEngine's 0.1 is 10 points. A score that equals the best one is no better. The best score and the count of
    validations since then are kept in checkpoints, so that a resumed training ends where an unbroken one does.

    Args:
        monitor: Name of the figure, e.g. ``retrieval/i2t_R@1``.
        min_delta: By how much it must get better, in its own unit: 0.001 is a tenth of a point for a fraction.
        strict: An absent figure is an error, not a warning.
        **kwargs: Further arguments of MMEngine's ``EarlyStoppingHook``, such as ``rule`` and ``patience``.
    """

    priority = "LOW"  # before the checkpoint hook, which may save once more after a validation
    _default_greater_keys = GREATER_KEYS
    _default_less_keys = LESS_KEYS

    @forwards_to_super()
    def __init__(self, monitor: str, *, min_delta: float = 0.0, strict: bool = False, **kwargs: Any) -> None:
        try:
            super().__init__(monitor, min_delta=min_delta, strict=strict, **kwargs)
        except ValueError as error:
            raise ConfigError(
                f"EarlyStoppingHook.rule: must be greater or less for {monitor!r}, got {kwargs.get('rule')!r}. Say "
                "which is better."
            ) from error
        self._missing = MissingScores("EarlyStoppingHook.monitor")
        self._trains = False

    @property
    def _key(self) -> str:
        return f"early_stopping_{self.monitor}"

    def before_run(self, runner: Runner) -> None:
        """Do nothing: an evaluation has no training to stop."""

    def before_train(self, runner: Runner) -> None:
        """Refuse a figure that no metric gives; go on from the state in the checkpoint of a resumed training."""
        self._trains = True
        check_names(runner, "EarlyStoppingHook.monitor", [self.monitor])
        state = runner.message_hub.get_info(self._key) if runner.iter > 0 else None
        if state is not None and state.get("rule", self.rule) == self.rule:
            self.best_score, self.wait_count = state["best"], state["wait"]
            if self._has_waited:
                self._stop(runner, "it had not got better")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Decide whether to stop."""
        if not self._trains:
            return
        metrics = metrics or {}
        score = metrics.get(self.monitor)
        if score is None:
            if self.strict:
                raise ConfigError(
                    f"EarlyStoppingHook.monitor: no metric gives {self.monitor!r}, got {', '.join(metrics) or 'none'}. "
                    "Name one of these."
                )
            self._missing.warn(self.monitor, metrics, "It does not count for early stopping.")
            return
        stop, reason = self._check_stop_condition(float(score))
        state = {"best": float(self.best_score), "wait": self.wait_count, "rule": self.rule}
        runner.message_hub.update_info(self._key, state)
        if stop:
            self._stop(runner, reason)

    def _check_stop_condition(self, current_score: float) -> tuple[bool, str]:
        """Return whether to stop, and why; note the score."""
        if not math.isfinite(current_score) and self.check_finite:
            return True, f"it is {current_score}"
        better = self.rule_map[self.rule]
        if better(current_score, self.best_score + self.min_delta):  # MMEngine negates min_delta for "less"
            self.best_score, self.wait_count = current_score, 0
        else:
            self.wait_count += 1  # for a NaN, too
        if self.stopping_threshold is not None and better(current_score, self.stopping_threshold):
            return True, f"{current_score:.4g} is better than {self.stopping_threshold}"
        return self._has_waited, "it did not get better"

    @property
    def _has_waited(self) -> bool:
        return self.wait_count >= max(self.patience, 1)  # a score that is better ends no training

    def _stop(self, runner: Runner, reason: str) -> None:
        runner.train_loop.stop_training = True
        _log.info(
            "Early stopping after %d iterations: %s, %s in %d validations (best %.4g).",
            runner.iter,
            self.monitor,
            reason,
            self.wait_count,
            self.best_score,
        )
