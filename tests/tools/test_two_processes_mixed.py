"""Two CPU processes give the first steps of one process, also when a batch has rows of several sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, train
from tests.conftest import TwoRanks

CONFIG = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_multitask_scenes_tiny.yaml"
SOURCES = "train_dataloader.dataset.sources"


def steps(work_dir: Path, scenes: Path, batch_size: int, launcher: str) -> list[dict[str, float]]:
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
    train(CONFIG, overrides, RunOptions(work_dir=str(work_dir), no_validate=True, launcher=launcher))
    return [json.loads(line) for line in next(work_dir.rglob("scalars.json")).read_text().splitlines()]


def steps_of_rank(rank: int, work_dir: Path, scenes: Path) -> list[dict[str, float]]:
    return steps(work_dir, scenes, 4, "pytorch")


@pytest.mark.slow
def test_the_steps_are_those_of_one_process(tmp_path: Path, two_ranks: TwoRanks) -> None:
    one = steps(tmp_path / "one", tmp_path / "scenes", 8, "none")
    two = two_ranks(steps_of_rank, tmp_path / "two", tmp_path / "scenes")[0]
    assert len(one) == len(two) == 2
    losses = [name for name in one[0] if name.startswith("loss")]
    assert len(losses) == 6
    for step, tolerance in ((0, 1e-5), (1, 1e-3)):
        for name in losses:
            assert two[step][name] == pytest.approx(one[step][name], abs=tolerance), (step, name)
