"""Processes that torchrun starts again go on from what those before have written, and from nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bus_toolkit.engine.restart import NOTE, note_start, resume_of_restart

ROOT = Path(__file__).parents[2]


def at_start(monkeypatch: pytest.MonkeyPatch, count: int, most: int = 2) -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(count))
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", str(most))


def save(folder: Path, name: str, value: int) -> None:
    torch.save({"value": torch.tensor(value)}, folder / name)
    (folder / "last_checkpoint").write_text(str(folder / name))


def test_a_first_start_does_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_start(monkeypatch, 0)
    save(tmp_path, "epoch_1.pth", 1)
    assert resume_of_restart(str(tmp_path), None) is None
    assert resume_of_restart(str(tmp_path), "other.pth") == "other.pth"


def test_a_restart_goes_on_from_what_the_run_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, "epoch_1.pth", 1)  # of an earlier run in that folder
    at_start(monkeypatch, 0)
    note_start(str(tmp_path))
    at_start(monkeypatch, 1)
    assert resume_of_restart(str(tmp_path), None) is None
    save(tmp_path, "epoch_1.pth", 2)
    assert resume_of_restart(str(tmp_path), "other.pth") == "latest"


def test_without_restarts_nothing_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_start(monkeypatch, 0, most=0)
    note_start(str(tmp_path))
    at_start(monkeypatch, 1)
    assert not (tmp_path / NOTE).exists() and resume_of_restart(str(tmp_path), None) is None


DYING = """
import os, signal
from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.launch import shutdown_distributed
from tests.engine.tiny_run import tiny_config
from mmengine.hooks import Hook

class Die(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and runner.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

config = tiny_config("run", max_epochs=3, batch_size=2)
config.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
runner = build_runner(config, RunOptions(launcher="pytorch", no_validate=True))
runner.register_hook(Die())
began = []
runner.register_hook(type("Begin", (Hook,), {"before_train": lambda self, runner: began.append(runner.iter)})())
runner.train()
# In one piece: torchrun lets Python write unbuffered, and words of two processes would mix.
print(f"began {began[0]} ended {runner.iter}", flush=True)
del runner
shutdown_distributed()
"""


@pytest.mark.slow
def test_torchrun_starts_a_killed_training_again(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    words = ["--nnodes=1", "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0", "--max_restarts=1"]
    command = [sys.executable, "-m", "torch.distributed.run", *words, "--nproc_per_node=2", "dying.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("began 2 ended 6") == 2
