"""Call the model after each training iteration, so that it updates what no gradient trains."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from bus_toolkit.engine.hooks.optimizer_steps import StepListener
from bus_toolkit.registry import HOOKS


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a (distributed) wrapper, or ``model`` itself."""
    inner = model.module if is_model_wrapper(model) else model
    assert isinstance(inner, nn.Module)
    return inner


@HOOKS.register_module()
class ModelStateHook(Hook):
    """Call ``model.after_step(stepped)`` after each training iteration; goes into ``default_hooks``.

    The model moves its momentum copy and fills its queues there: after the optimizer step, never inside ``forward``.
    With gradient accumulation it is called after each micro-batch, and ``stepped`` says whether the optimizer
    made a step. It also makes none when loss scaling skips gradients that overflowed.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self._steps = StepListener()

    def before_train(self, runner: Runner) -> None:
        """Listen to the optimizer."""
        self._steps.listen(runner.optim_wrapper)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Let the model update what is not trained by gradients."""
        stepped = self._steps.take()
        after_step = getattr(unwrap(runner.model), "after_step", None)
        if after_step is not None:
            after_step(stepped=stepped)
