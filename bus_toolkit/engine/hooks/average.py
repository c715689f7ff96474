"""The running average of the weights, moved once a step of the optimizer."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.optimizer_steps import StepListener
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import HOOKS
from bus_toolkit.signatures import forwards_to_super


@HOOKS.register_module()
class EMAHook(MMEngineEMAHook):
    """Average the weights as MMEngine's ``EMAHook`` does, at each step of the optimizer; goes into ``custom_hooks``.

    MMEngine's moves the average at each iteration: with gradient accumulation it counts the same weights several
    times, and it moves after a step that float16 left out. ``begin_iter`` counts iterations, as there.

    Args:
        **kwargs: The arguments of MMEngine's ``EMAHook``, such as ``momentum``.
    """

    @forwards_to_super()
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps = StepListener()

    def before_train(self, runner: Runner) -> None:
        """Listen to the optimizer; start from the weights that the training starts with.

        Raises:
            ConfigError: The average would start after the end of the training.
        """
        try:
            super().before_train(runner)
        except AssertionError as error:
            name, last = (
                ("begin_epoch", runner.max_epochs) if self.enabled_by_epoch else ("begin_iter", runner.max_iters)
            )
            raise ConfigError(
                f"EMAHook.{name}: must be at most the end of the training, {last}, got {getattr(self, name)}. Lower it."
            ) from error
        self._steps.listen(runner.optim_wrapper)
        if not int(self.ema_model.steps):
            # The copy was made before the weights were initialised, and the first step may be batches away.
            self.ema_model.module.load_state_dict(self.src_model.state_dict())

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Move the average if the optimizer made a step."""
        if self._steps.take():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
