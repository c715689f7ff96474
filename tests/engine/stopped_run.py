"""The tiny training as a command line in processes of its own, to which signals are sent."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook

from bus_toolkit.registry import HOOKS
from tests.engine.tiny_run import tiny_config

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["bus_toolkit.engine", "bus_toolkit.models"])


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Send the own process ``numbers`` in a step of the training, or a batch of the validation, of one rank."""

    priority = "LOWEST"

    def __init__(self, numbers: Sequence[int], step: int, stage: str = "train", rank: int = 0) -> None:
        self.numbers, self.step, self.stage, self.rank = numbers, step, stage, rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.stage == "train" and (runner.iter + 1, runner.rank) == (self.step, self.rank):
            self._send()

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.stage == "val" and (batch_idx, runner.rank) == (self.step, self.rank):
            self._send()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        Path(f"last_step_{runner.rank}").write_text(str(runner.iter + 1))

    def _send(self) -> None:
        for place, number in enumerate(self.numbers):
            time.sleep(1.2 if place else 0)
            os.kill(os.getpid(), number)


@HOOKS.register_module(force=True)
class SleepAt(Hook):
    """Let one rank hang after a step of the training."""

    def __init__(self, step: int, rank: int) -> None:
        self.step, self.rank = step, rank

    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1, runner.rank) == (self.step, self.rank):
            time.sleep(600)


def start(folder: Path, ranks: int = 1, words: Sequence[str] = (), **changes: Any) -> list[BaseProcess]:
    """Start the ranks of a training in ``folder``; ``changes`` are values by YAML path, with ``__`` for its dots."""
    folder.mkdir(exist_ok=True)
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    meeting = (folder / f"meeting_{time.monotonic_ns()}").as_uri()
    processes = [
        CONTEXT.Process(target=_train, args=(folder, rank, ranks, meeting, list(words), settings))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    return processes


def finish(processes: Sequence[BaseProcess], seconds: float = 300) -> list[int | None]:
    """Wait for their ends; return the exit codes."""
    for process in processes:
        process.join(seconds)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def screen(folder: Path, rank: int = 0) -> str:
    """Return what a rank has shown."""
    return (folder / f"screen_{rank}").read_text()


def _train(folder: Path, rank: int, ranks: int, meeting: str, words: list[str], settings: dict[str, Any]) -> None:
    """Run ``bus-toolkit train`` and exit as it does."""
    from bus_toolkit.cli.main import main
    from bus_toolkit.cli.run import run_cli
    from bus_toolkit.engine import run

    with (folder / f"screen_{rank}").open("w") as shown:
        os.dup2(shown.fileno(), 1)
        os.dup2(shown.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.chdir(folder)
    os.register_at_fork(after_in_child=lambda: Path(f"worker_{os.getpid()}").touch())
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), CUDA_VISIBLE_DEVICES="")
    os.environ["BUS_TOOLKIT_STOP_NOTE"] = str(folder / "note")
    if ranks > 1:
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
        words += ["--launcher", "pytorch"]
    cfg = tiny_config(folder / "work")
    cfg.merge_from_dict(settings)
    run.load_config = lambda path, overrides: cfg
    sys.argv = sys.orig_argv = ["bus-toolkit", "train", "tiny.yaml", *words]
    run_cli(main)


def workers_left(folder: Path) -> list[str]:
    """Return which workers of the loaders still run."""
    pids = [path.name.removeprefix("worker_") for path in folder.glob("worker_*")]
    return [pid for pid in pids if _state(pid) not in ("", "Z")]


def _state(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""
