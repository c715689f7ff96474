"""torchrun with two CPU processes gives the first-step loss of one process on the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, train

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"


def overrides(scenes: Path, batch_size: int) -> list[str]:
    """Return what makes two steps of one epoch, each of them logged."""
    return [
        f"train_dataloader.dataset.data_root={scenes}",
        "train_dataloader.dataset.num_images=4",
        "train_dataloader.dataset.pipeline.1.prob=0",
        f"train_dataloader.batch_size={batch_size}",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "model.heads.itm.start_epoch=0",
        "model.heads.mlm.start_epoch=0",
        "model.heads.prefix_lm.start_epoch=0",
        "default_hooks.logger.interval=1",
        "log_processor.window_size=1",
    ]


def first_step(work_dir: Path) -> dict[str, float]:
    return json.loads(next(work_dir.rglob("scalars.json")).read_text().splitlines()[0])


@pytest.mark.slow
def test_the_first_step_is_that_of_one_process(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    train(CONFIG, overrides(scenes, 8), RunOptions(work_dir=str(tmp_path / "one"), no_validate=True))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    flags = ["--work-dir", str(tmp_path / "two"), "--no-validate", "--launcher", "pytorch"]
    command = [*torchrun, str(ROOT / "tools" / "train.py"), str(CONFIG), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command += ["--cfg-options", *overrides(scenes, 4)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = first_step(tmp_path / "one"), first_step(tmp_path / "two")
    losses = [name for name in one if name.startswith("loss")]
    assert len(losses) == 6
    for name in losses:
        assert two[name] == pytest.approx(one[name], abs=1e-5), name
