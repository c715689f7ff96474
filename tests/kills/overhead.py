"""``python -m tests.kills.overhead``: what a step and a checkpoint cost with and without what guards a long run.

Two trainings of one config take turns, step by step, in one process: one as ``bus-toolkit train`` runs it (steps that
can be left out, random numbers by sample, faults watched, state for an exact resume), the other by MMEngine's own
Runner, loops, and checkpoint hook. Then both save a large state in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.config import load_config
from bus_toolkit.engine import build_runner
from tests.engine.tiny_run import tiny_config

_WARM_UP = 10
_PER_GB = 1e9 / 4 / 3 / 5  # outputs of a linear layer on 4 inputs, with AdamW's two moments, in 1 GB of float32


class Turns:
    """Which of two threads may go on."""

    def __init__(self) -> None:
        self._changed, self._next, self._left = threading.Condition(), 0, {0, 1}

    def wait(self, number: int) -> None:
        """Wait until it is the turn of ``number``."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == number)

    def give(self, number: int, *, ends: bool = False) -> None:
        """Let the other go on, if it has not ended."""
        with self._changed:
            self._left -= {number} if ends else set()
            self._next = 1 - number if 1 - number in self._left else number
            self._changed.notify_all()


class StepClock(Hook):
    """Time the steps of one training, data and all, and let the other one step in between.

    Attributes:
        seconds: Of each step, by the clock and of the processor; the latter hardly depends on what else is running.
    """

    priority = "LOWEST"

    def __init__(self, turns: Turns, number: int) -> None:
        self.turns, self.number, self.seconds = turns, number, list[tuple[float, float]]()

    def before_train(self, runner: Any) -> None:
        """Begin."""
        self._began = time.perf_counter(), time.process_time()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Note the step, and wait for the other's."""
        clock, processor = self._began
        self.seconds.append((time.perf_counter() - clock, time.process_time() - processor))
        self.turns.give(self.number)
        self.turns.wait(self.number)
        self._began = time.perf_counter(), time.process_time()


def plain(cfg: Config) -> Runner:
    """Return MMEngine's Runner, with no hooks of this toolkit but those without which it trains wrongly."""
    kept = {"timer", "logger", "param_scheduler", "sampler_seed", "model_state", "keep_ratio_schedule", "progress"}
    hooks = {name: hook for name, hook in cfg.default_hooks.items() if name in kept}
    cfg.default_hooks = {**hooks, "checkpoint": {"type": "CheckpointHook", "interval": -1, "max_keep_ckpts": 1}}
    return Runner.from_cfg(cfg)


def steps(config: str, count: int, folder: Path) -> list[list[tuple[float, float]]]:
    """Return the seconds of each step, by the clock and of the processor, guarded and plain."""
    turns, clocks = Turns(), list[StepClock]()

    def train(number: int) -> None:
        turns.wait(number)
        try:
            cfg = load_config(config, {"train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": False})
            cfg.work_dir = str(folder / str(number))
            cfg.experiment_name = f"run_{number}"
            cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": count, "val_interval": count + 1}
            for loader in (cfg.train_dataloader, cfg.val_dataloader):
                loader.dataset.data_root = str(folder / "scenes")
            runner = plain(cfg) if number else build_runner(cfg)
            runner.register_hook(clocks[number], "LOWEST")
            runner.train()
        finally:
            turns.give(number, ends=True)

    clocks += [StepClock(turns, number) for number in range(2)]
    threads = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [clock.seconds[_WARM_UP:] for clock in clocks]


def saves(gigabytes: float, count: int, folder: Path) -> list[list[float]]:
    """Return the seconds of each checkpoint, guarded and plain."""
    seconds: list[list[float]] = [[], []]
    runners = []
    for number in range(2):
        cfg = tiny_config(folder / f"large_{number}", max_epochs=1)
        cfg.model.width = int(gigabytes * _PER_GB)
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.default_hooks = {"checkpoint": {"type": "CheckpointHook", "save_last": False}} if number else {}
        cfg.experiment_name = f"large_{number}"
        runner = Runner.from_cfg(cfg) if number else build_runner(cfg)
        runner.train()
        runners.append(runner)
    for _ in range(count):
        for number, runner in enumerate(runners):
            began = time.perf_counter()
            runner.save_checkpoint(runner.work_dir, "one.pth", by_epoch=False)
            seconds[number].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="bus/bus_scenes_small", help="of the steps (default %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="of each training (default %(default)s)")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of a checkpoint (default %(default)s)")
    parser.add_argument("--saves", type=int, default=5, help="of each training (default %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        both = steps(args.config, args.steps + _WARM_UP, Path(folder))
        measured = {
            "step": [[clock for clock, _ in each] for each in both],
            "step, of the processor": [[processor for _, processor in each] for each in both],
            f"checkpoint of {args.gigabytes:g} GB": saves(args.gigabytes, args.saves, Path(folder)),
        }
    print(
        "| | guarded, ms | plain MMEngine, ms | ratio of medians | ratios of pairs, quartiles |\n|---|---|---|---|---|"
    )
    for name, (guarded, bare) in measured.items():
        one, other = (statistics.median(each) * 1e3 for each in (guarded, bare))
        low, _, high = statistics.quantiles([a / b for a, b in zip(guarded, bare, strict=True)], n=4)
        print(f"| {name} | {one:.1f} | {other:.1f} | {one / other:.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main()
