"""End a training between two steps when a signal asks for it, on all ranks at the same one."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from bus_toolkit.engine.agreement import Agreement
from bus_toolkit.engine.hooks.checkpoint import AtomicCheckpointHook
from bus_toolkit.engine.hooks.optimizer_steps import step_is_pending
from bus_toolkit.engine.stop_signals import StopRequested, StopSignals

_MANY = 2**31
_EARLIER = 0.9  # of the group's limit: the error of this one comes first, and names the rank that is late


class StopRequestHook(Hook):
    """Raise ``StopRequested`` before the next step of the optimizer, or between two batches of a validation.

    ``train`` adds it to every training. With several ranks a signal to one of them stops all, one step after it came.
    Ranks may have different numbers of batches to validate: they agree as long as all of them have one.

    Args:
        signals: The signals of this process.
        seconds: How long to wait for a rank that is late.
    """

    priority = "HIGHEST"

    def __init__(self, signals: StopSignals, seconds: float) -> None:
        self.signals, self.seconds = signals, seconds
        self.first_step = 0
        self._agreement: Agreement | None = None
        self._batches = 0

    def before_train(self, runner: Runner) -> None:
        """Let signals wait for the end of a step from now on."""
        self.first_step = runner.iter
        self._agreement = Agreement(_EARLIER * self.seconds)
        self.signals.at_once = False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Stop if it is asked for, and no accumulated gradient would be lost."""
        number = self._ask()
        if number and not step_is_pending(runner.optim_wrapper):
            raise StopRequested(number)

    def before_val(self, runner: Runner) -> None:
        """Find out how many batches every rank has."""
        if self._agreement is not None:
            own = len(runner.val_dataloader)
            self._batches = _MANY - self._agreement.now(_MANY - own)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Stop if it is asked for: the weights are those of the last step."""
        if self._agreement is not None and batch_idx < self._batches:
            number = self._ask()
            if number:
                raise StopRequested(number)

    def save(self, runner: Runner) -> int | None:
        """Save a training that has been stopped; return its step, or ``None`` if there is nothing new or no hook.

        Raises:
            BusError: It cannot be saved.
        """
        if self._agreement is None or runner.iter == self.first_step:
            return None
        if not runner.model.training:  # inside of a validation, for which an average takes the place of the weights
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook._swap_ema_parameters()
        saved = [hook.save_between_steps(runner) for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        runner.visualizer.close()
        return runner.iter if any(saved) else None

    def _ask(self) -> int:
        assert self._agreement is not None, "before_train comes first"
        return self._agreement.exchange(self.signals.number)
