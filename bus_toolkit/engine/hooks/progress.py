"""Show how a training goes: a live line in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import atexit
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from bus_toolkit.console import ScreenConsole, screen_may_end
from bus_toolkit.engine.hooks.live_line import clock, first_that_fits, shorter_lines
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.speed import Speedometer, num_samples
from bus_toolkit.engine.hooks.step_figures import note_memory, step_figures
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.registry import HOOKS
from bus_toolkit.step.pass_key import PassCount

_log = logging.getLogger(__name__)
_NARROW = 120  # columns; below, the bar is short


@HOOKS.register_module()
class RichProgressHook(Hook):
    """Show losses, tokens kept, gradient, data wait, memory, speed and remaining time; goes into ``default_hooks``.

    The same figures enter the run's log, and so its visualizers: ``train/grad_norm`` and ``train/steps_left_out`` (by
    ``LearningFaultsHook``), ``train/data_time`` (seconds a step, by MMEngine's timer), ``train/memory_cpu`` (MiB; of a
    GPU MMEngine's ``memory``), ``train/samples_per_second``, and for each kind of pass of a step (``free``,
    ``caption``, ``masked``, ``prefix``, ``pairs``) the images in ``train/tokens_<pass>_rows`` and the tokens of each
    after every stage in ``train/tokens_<pass>_<stage>``. The total time and mean speed are logged at the end.
    Validation and checkpoints do not count in the speed.

    Args:
        interval: Iterations between two plain lines, and between two readings of the losses (a reading waits for the
            GPU).
        console: Where to draw; by default the standard output.
    """

    priority = "NORMAL"

    def __init__(self, interval: int = 50, console: Console | None = None) -> None:
        self.interval = interval
        self.console = console or ScreenConsole(highlight=False, soft_wrap=True)
        self.progress: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        """Open the live line."""
        self.speed = Speedometer(get_world_size())
        self.losses = LossMeans()
        self.speed.resume()
        if is_main_process() and self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=self._bar_width()),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            )
            self.progress = Progress(*columns, console=self.console, expand=True)
            self.task = self.progress.add_task("training", total=runner.max_iters, completed=runner.iter, text="")
            self.progress.start()
            atexit.register(self.progress.stop)  # a run that fails must give the cursor back

    def before_train_epoch(self, runner: Runner) -> None:
        """Restart the clock after a validation."""
        self.speed.resume()

    def state_dict(self) -> dict[str, Any]:
        """Return the losses since the last line."""
        return self.losses.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the first line of a resumed training count them."""
        self.losses.set_state(state)

    def _is_reading(self, runner: Runner, iterations: int) -> bool:
        done = runner.iter + 1
        return done % self.interval == 0 or done == runner.max_iters or iterations == 1

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Count the samples; from time to time read the losses and show them."""
        self.speed.tick(num_samples(data_batch))
        self.losses.add(outputs or {})
        done = runner.iter + 1
        counts: dict[str, PassCount] = getattr(unwrap(runner.model), "token_counts", None) or {}
        for name, value in token_scalars(counts).items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        if not self._is_reading(runner, self.speed.iterations):
            if self.progress is not None:
                self.progress.update(self.task, completed=done)
            return
        samples_per_second = self.speed.read()
        runner.message_hub.update_scalar("train/samples_per_second", samples_per_second)
        remaining = self.speed.remaining(runner.max_iters - done)
        means = self.losses.read()
        note_memory(runner.message_hub)
        figures = step_figures(runner.message_hub, self.interval)
        text = describe_step(means, counts, samples_per_second, remaining, figures)
        self._show(runner, done, [text, *shorter_lines(means, samples_per_second, remaining)])

    def after_train(self, runner: Runner) -> None:
        """Close the live line; log the total time and the mean speed."""
        if self.progress is not None:
            with screen_may_end():
                self.progress.stop()
            atexit.unregister(self.progress.stop)
            self.progress = None
        seconds = self.speed.seconds
        mean = self.speed.samples / seconds if seconds else 0.0
        runner.message_hub.update_info("train_seconds", round(seconds, 2))
        runner.message_hub.update_info("train_samples_per_second", round(mean, 2))
        _log.info(
            "Trained %d iterations (%d samples) in %s: %.1f samples/s.",
            self.speed.iterations,
            self.speed.samples,
            clock(seconds),
            mean,
        )

    def _show(self, runner: Runner, done: int, lines: Sequence[str]) -> None:
        epoch = f"epoch {min(runner.epoch + 1, runner.max_epochs)}/{runner.max_epochs}"
        with screen_may_end():
            self._print(runner, epoch, done, lines)

    def _print(self, runner: Runner, epoch: str, done: int, lines: Sequence[str]) -> None:
        if self.progress is not None:
            # The columns are one space apart; the count of steps is as wide as that of the last one.
            taken = len(epoch) + self._bar_width() + 2 * len(str(runner.max_iters)) + 1 + 4
            text = first_that_fits(lines, self.console.width - taken)
            self.progress.update(self.task, completed=done, description=epoch, text=text)
        elif is_main_process():
            self.console.print(f"{epoch}  step {done}/{runner.max_iters}  {lines[0]}", markup=False)

    def _bar_width(self) -> int:
        return 20 if self.console.width >= _NARROW else 8


class LossMeans:
    """Means of the loss terms since the last reading; adding does not wait for the GPU."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: Counter[str] = Counter()

    def add(self, outputs: dict[str, Any]) -> None:
        """Add the loss terms of one step; other entries are left out."""
        for key, value in outputs.items():
            if "loss" in key:
                value = at_least_float32(torch.as_tensor(value).detach())
                self._sums[key] = self._sums[key] + value if key in self._sums else value
                self._counts[key] += 1

    def state(self) -> dict[str, Any]:
        """Return the sums and counts; waits for the device."""
        return {"sums": {key: total.cpu() for key, total in self._sums.items()}, "counts": dict(self._counts)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from them."""
        self._sums, self._counts = dict(state["sums"]), Counter(state["counts"])

    def read(self) -> dict[str, float]:
        """Return the means by name and start again."""
        means = {key: float(total) / self._counts[key] for key, total in self._sums.items()}
        self._sums, self._counts = {}, Counter()
        return means


def token_scalars(counts: Mapping[str, PassCount]) -> dict[str, float]:
    """Return the cost of the passes of a step, by the names under which it is logged."""
    scalars: dict[str, float] = {}
    for name, count in counts.items():
        scalars[f"tokens_{name}_rows"] = float(count.rows)
        scalars |= {f"tokens_{name}_{stage.replace(' ', '_')}": float(n) for stage, n in count.tokens.items()}
    return scalars


def describe_step(
    means: dict[str, float],
    counts: Mapping[str, PassCount],
    samples_per_second: float,
    remaining: float,
    figures: Sequence[str] = (),
) -> str:
    """Return one line: losses, images and tokens of each kind of pass, figures, speed and remaining time (seconds)."""
    losses = [f"{key.removeprefix('loss_')} {value:.3f}" for key, value in means.items()]
    parts = ["  ".join(losses)] if losses else []
    if counts:
        # Each pass: its images x the tokens that are left of one of them after every stage.
        passes = [_described(name, count) for name, count in counts.items()]
        parts.append("tokens " + ", ".join(passes))
    parts += ["  ".join(figures)] if figures else []
    parts += [f"{samples_per_second:.1f} samples/s", f"{clock(remaining)} left"]
    return "  |  ".join(parts)


def _described(name: str, count: PassCount) -> str:
    stages = list(map(str, count.tokens.values()))
    if count.texts > 1:
        stages[-1] += f" for {count.texts} texts"
    return f"{name} {count.rows} x {' > '.join(stages)}"
