"""Steps of the optimizer, of which gradient accumulation makes one in several iterations."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.optim import Optimizer

from bus_toolkit.engine.batches import wrappers_of

_log = logging.getLogger(__name__)


class StepListener:
    """Listen to optimizers: one that is kept from a step, because gradients are not finite, makes none.

    A fused optimizer on a GPU leaves a step out on the device; nobody here knows, and the step counts.
    """

    def __init__(self) -> None:
        self._stepped = False

    def listen(self, optim_wrapper: Any) -> None:
        """Listen from now on to the optimizers of MMEngine's wrapper."""
        for wrapper in wrappers_of(optim_wrapper):
            wrapper.optimizer.register_step_post_hook(self._note)

    def take(self) -> bool:
        """Return whether an optimizer made a step since the last call."""
        stepped, self._stepped = self._stepped, False
        return stepped

    def _note(self, optimizer: Optimizer, *_: object) -> None:
        # A step that is left out for what is not finite has lost its gradients (step_guard).
        self._stepped |= any(p.grad is not None for group in optimizer.param_groups for p in group["params"])


def first_batch(loop: Any) -> int:
    """Return with which batch the present epoch of a loop over epochs begins: not 0 where it was resumed inside."""
    start = getattr(loop, "start", None)
    return start.batches if start is not None and loop.epoch == start.passes else 0


def step_is_pending(optim_wrapper: Any) -> bool:
    """Return whether gradients of the latest iterations wait for a step: their part is in no checkpoint."""
    return not all(wrapper.should_update() for wrapper in wrappers_of(optim_wrapper))


class WholeStepsHook(Hook):
    """Let gradient accumulation end its step at the end of each epoch; ``build_runner`` adds it to every training.

    An epoch whose batches ``accumulative_counts`` does not divide ends in a step over those that are left, with their
    mean gradient, as MMEngine does at the end of a training. So no validation, checkpoint or early stop at the end of
    an epoch lies inside a step. That each epoch does it is our choice: a step across two epochs would need its
    gradients in the checkpoint.
    """

    def before_train(self, runner: Runner) -> None:
        """Say what a training has lost that is resumed from a checkpoint of somebody else's hook."""
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        counts = [wrapper._accumulative_counts for wrapper in wrappers_of(runner.optim_wrapper)]
        done = first_batch(runner.train_loop) % len(runner.train_dataloader) if by_epoch else runner.iter
        if any(done % count for count in counts) and runner.iter < runner.max_iters:
            _log.warning(
                "The checkpoint was written inside a step of accumulated gradients (iteration %d): their part is lost, "
                "and the first step is made of fewer batches.",
                runner.iter,
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Count the batches of this epoch alone."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            # The model is asked for batch norms only, of which MMEngine has warned already.
            first, length = first_batch(runner.train_loop), len(runner.train_dataloader)
            for wrapper in wrappers_of(runner.optim_wrapper):
                wrapper.initialize_count_status(nn.Module(), first % length, length)
