"""torchrun with two CPU processes gives the first steps of one process where a batch holds several sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = "train_dataloader.dataset.sources"


def run(launcher: list[str], work_dir: Path, scenes: Path, batch_size: int, flags: list[str]) -> list[dict[str, float]]:
    """Train one epoch of two steps and return the scalars that were logged for each."""
    names = ("captions", "boxes")
    overrides = [
        *(f"{SOURCES}.{name}.dataset.data_root={scenes}" for name in names),
        *(f"{SOURCES}.{name}.dataset.num_images=4" for name in names),
        *(f"{SOURCES}.{name}.dataset.pipeline.1.prob=0" for name in names),
        f"{SOURCES}.boxes.dataset.box_fraction=1",
        f"{SOURCES}.boxes.boxed_only=false",  # descriptions are drawn by each process for itself
        f"train_dataloader.batch_size={batch_size}",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        *(f"model.heads.{head}.start_epoch=0" for head in ("itm", "mlm", "prefix_lm")),
        "default_hooks.logger.interval=1",
        "log_processor.window_size=1",
    ]
    config = ROOT / "registry_configs" / "bus" / "bus_multitask_scenes_tiny.yaml"
    command = [*launcher, str(ROOT / "tools" / "train.py"), str(config), "--work-dir", str(work_dir), "--no-validate"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *flags, "--cfg-options", *overrides], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in next(work_dir.rglob("scalars.json")).read_text().splitlines()]


@pytest.mark.slow
def test_the_steps_are_those_of_one_process(tmp_path: Path) -> None:
    one = run([sys.executable], tmp_path / "one", tmp_path / "scenes", 8, [])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = run(torchrun, tmp_path / "two", tmp_path / "scenes", 4, ["--launcher", "pytorch"])
    assert len(one) == len(two) == 2
    losses = [name for name in one[0] if name.startswith("loss")]
    assert len(losses) == 6
    for step, tolerance in ((0, 1e-5), (1, 1e-3)):
        for name in losses:
            assert two[step][name] == pytest.approx(one[step][name], abs=tolerance), (step, name)
