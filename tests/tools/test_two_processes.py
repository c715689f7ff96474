"""torchrun with two CPU processes gives the first-step loss of one process on the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(launcher: list[str], work_dir: Path, scenes: Path, batch_size: int, flags: list[str]) -> dict[str, float]:
    """Train one epoch of two steps and return the scalars that were logged for the first."""
    overrides = [
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
    config = ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
    command = [*launcher, str(ROOT / "tools" / "train.py"), str(config), "--work-dir", str(work_dir), "--no-validate"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *flags, "--cfg-options", *overrides], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    scalars = next(work_dir.rglob("scalars.json")).read_text().splitlines()
    return json.loads(scalars[0])


@pytest.mark.slow
def test_the_first_step_is_that_of_one_process(tmp_path: Path) -> None:
    one = run([sys.executable], tmp_path / "one", tmp_path / "scenes", 8, [])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = run(torchrun, tmp_path / "two", tmp_path / "scenes", 4, ["--launcher", "pytorch"])
    losses = [name for name in one if name.startswith("loss")]
    assert len(losses) == 6
    for name in losses:
        assert two[name] == pytest.approx(one[name], abs=1e-5), name
