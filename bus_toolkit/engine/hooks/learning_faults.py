"""Look whether a training learns: stop one that has diverged, warn of parts that never learn."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.faulty_steps import FaultyStep, FaultySteps, shown
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

    A step of the optimizer whose loss or gradient is not finite is left out
    (:mod:`bus_toolkit.engine.step_guard`). How many steps were is logged as ``train/steps_left_out``, beside
    ``train/grad_norm``, and the first, the tenth and so on is warned of. Of ``max_nonfinite_steps`` in a row (or of
    several to its end) a training stops with an error that names the step, the losses and the samples, and the command
    that repeats it; of a parameter that is not finite it stops at once: nothing brings that one back. A checkpoint of
    such parameters is not written. float16 leaves out steps from time to time, to find its scale.

    It warns once of selectors whose scores are NaN or that have no gradient, and of a loss that is always 0.

    Args:
        interval: Iterations between two readings, each of which waits for the device; the first and the last iteration
            are read, too.
        max_nonfinite_steps: How many steps in a row may be left out; ``None`` never stops a training.

    Raises:
        ConfigError: Either is below 1.
    """

    priority = "ABOVE_NORMAL"  # before the line of the progress, which shows what is read here

    def __init__(self, interval: int = 50, max_nonfinite_steps: int | None = 50) -> None:
        for name, value in (("interval", interval), ("max_nonfinite_steps", max_nonfinite_steps)):
            if value is not None and value < 1:
                raise ConfigError(f"LearningFaultsHook.{name}: must be at least 1, got {value}.")
        self.interval, self.max_nonfinite_steps = interval, max_nonfinite_steps
        self._start()

    def _start(self) -> None:
        self._losses, self._faulty, self._steps, self._warned = LossFaults(), FaultySteps(), 0, set[str]()
        self._next_warning = 1

    def before_train(self, runner: Runner) -> None:
        """Start counting."""
        self._start()
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
        self._faulty.add(runner.iter + 1, outputs or {}, runner.optim_wrapper, data_batch)
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
            raise TrainingError(_diverged(runner, FaultyStep(runner.iter, {}, None, False, []), broken, []))

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps were left out, and how many of them in a row up to now."""
        streak, total = self._faulty.counts()
        return {"streak": streak, "total": total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let these steps count in a resumed training."""
        self._faulty.streak, self._faulty.total = int(state["streak"]), int(state["total"])

    def _is_reading(self, runner: Runner) -> bool:
        return self._is_logging(runner) or self._steps == 0

    def _is_logging(self, runner: Runner) -> bool:
        """Return whether the figures of this step are logged: not where a training is resumed, as an unbroken one."""
        done = runner.iter + 1
        return done % self.interval == 0 or done in (1, runner.max_iters)

    def _check_finite(self, runner: Runner) -> None:
        faulty, norm = self._faulty.read()
        if self._is_logging(runner):
            if norm is not None:
                runner.message_hub.update_scalar("train/grad_norm", norm)
            runner.message_hub.update_scalar("train/steps_left_out", self._faulty.total)
        if not faulty:
            return
        broken, streak = broken_tensors(unwrap(runner.model)), self._faulty.streak
        to_the_end = runner.iter + 1 == runner.max_iters and streak > 1
        if self.max_nonfinite_steps is not None and (to_the_end or streak >= self.max_nonfinite_steps):
            # All ranks come here at the same step.
            raise TrainingError(_diverged(runner, faulty[-1], broken, _samples_of_ranks(faulty[-1])))
        if self.max_nonfinite_steps is not None and broken:  # buffers, maybe of this rank alone
            raise TrainingError(_diverged(runner, faulty[-1], broken, [shown(faulty[-1].samples)]))
        if self._faulty.total >= self._next_warning:
            self._next_warning = 10 * self._faulty.total
            _log.warning(
                "Step %d is left out: not finite are %s. Left out so far: %d of %d steps. Its samples: %s. Look at the "
                "data and at the learning rate.",
                faulty[0].step,
                faulty[0],
                self._faulty.total,
                self._steps,
                shown(faulty[0].samples) or "unknown",
            )

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


def _diverged(runner: Runner, last: FaultyStep, broken: Sequence[str], of_ranks: Sequence[str]) -> str:
    """Return the message about a training that cannot go on."""
    latest = latest_checkpoint(runner.work_dir)
    parts = [f"the losses ({last})"] if last.losses else [f"the {last}"] if last.norm is not None else []
    parts += [f"{len(broken)} tensors of the model, the first {broken[0]},"] if broken else []
    saved = f"The newest good checkpoint is {latest}." if latest else "No checkpoint was written yet."
    samples = "; ".join(of_ranks)
    return (
        f"training: {' and '.join(parts)} are not finite at step {last.step}. {saved} Lower "
        "optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad: {max_norm: 1.0}), train in bfloat16 "
        "in place of float16, or look at the data of this step; default_hooks.learning_faults says when a training "
        f"stops for this. {f'Samples: {samples}. ' if samples else ''}To repeat it: {_replay(runner, latest)}"
    )


def _samples_of_ranks(last: FaultyStep) -> list[str]:
    """Return the samples of the ranks whose own loss was not finite; of all if it is the gradient alone."""
    parts = list(enumerate(all_gather_object((last.own, shown(last.samples)))))
    culprits = [(rank, names) for rank, (own, names) in parts if own] or [(rank, names) for rank, (_, names) in parts]
    return [f"rank {rank}: {names}" if len(parts) > 1 else names for rank, names in culprits if names]


def _replay(runner: Runner, latest: Path | None) -> str:
    """Return the command that goes there again from the newest checkpoint, and stops at the first such step."""
    folder = Path(runner.work_dir)
    resume = [] if latest is None else ["--resume", str(latest)]
    key = "default_hooks.learning_faults"
    words = ["train", str(Path(runner.log_dir) / "config.yaml"), "--work-dir", str(folder / "replay"), *resume]
    return shlex.join(["bus-toolkit", *words, "--cfg-options", f"{key}.interval=1", f"{key}.max_nonfinite_steps=1"])
