"""Which predictions an evaluation computes: those that metrics, hooks and the loop read."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.evaluation.wanted_fields import wanted_fields
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.models.vlp import VLPModel


class WantedFieldsHook(Hook):
    """Let a model compute in an evaluation what is read of it, and no more.

    Asked before each batch, since what is read may change: pictures are drawn of the first images only. A metric or a
    hook that does not declare what it reads gets everything. Every run by ``bus_toolkit`` has this hook.
    """

    priority = "VERY_HIGH"

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set what is wanted of this batch."""
        self._set(runner, runner.val_loop)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set what is wanted of this batch."""
        self._set(runner, runner.test_loop)

    def after_val(self, runner: Runner) -> None:
        """Want everything again."""
        self._set(runner, None)

    def after_test(self, runner: Runner) -> None:
        """Want everything again."""
        self._set(runner, None)

    def _set(self, runner: Runner, loop: Any) -> None:
        model = unwrap(runner.model)
        if isinstance(model, VLPModel | CausalVLM):
            wanted = None if loop is None else wanted_fields(loop.evaluator.metrics, runner.hooks, loop)
            model.wanted_fields = wanted
