"""Make up for the validation that a resumed training would leave out."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from bus_toolkit.engine.hooks.optimizer_steps import first_batch
from bus_toolkit.weights.run_state import read_section


class MissedValidationHook(Hook):
    """Validate before a resumed training goes on, if its checkpoint was written before the validation that was due.

    Checkpoints are written first, so that a fault of the validation costs no training. What the validation changes
    (the best score, the count of early stopping, a rate reduced on a plateau) is not in them then. ``build_runner``
    adds this hook to every training, as the last one.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self._missed = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note whether the metrics at this point are in the state of the hooks; earlier versions do not say it."""
        progress = read_section(checkpoint, "progress") or {}
        self._missed = bool(runner._resume) and progress.get("validated") is False

    def before_train(self, runner: Runner) -> None:
        """Validate now if the checkpoint was written before it."""
        if self._missed and _is_due(runner):
            runner.logger.info("Validating the resumed model: its checkpoint was written before that.")
            runner.val_loop.run()
        self._missed = False


def _is_due(runner: Runner) -> bool:
    """Return whether the train loop validates at this point, by its own rule."""
    loop: Any = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    if by_epoch and first_batch(loop):
        return False  # the validation at the end of the epoch before is in the checkpoint
    done, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
