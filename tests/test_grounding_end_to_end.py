"""The grounding recipe, cut to a few steps: it trains on generated expressions, and its evaluation measures boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, evaluate, train
from tests.small_run import small

CONFIGS = Path(__file__).parent.parent / "registry_configs"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bus/bus_grounding_scenes_tiny", "albef/albef_grounding_scenes_tiny"])
def test_boxes_are_trained_and_measured(name: str, tmp_path: Path) -> None:
    config, run = CONFIGS / f"{name}.yaml", tmp_path / "run"
    overrides = small(
        tmp_path / "scenes", "load_from=null", "train_cfg.max_epochs=1", "train_dataloader.dataset.num_images=8"
    )
    train(config, overrides, RunOptions(work_dir=str(run)))
    trained = json.loads((run / "report" / "val" / "results.json").read_text())["metrics"]
    options = RunOptions(work_dir=str(tmp_path / "test_run"), load_from=str(run / "epoch_1.pth"))
    tested = evaluate(config, overrides, options)
    for metrics in (trained, tested):
        assert metrics["grounding/num_expressions"] >= 6
        for key in ("accuracy", "mean_iou", "constant_box"):
            assert 0.0 <= metrics[f"grounding/{key}"] <= 1.0
        # Scenes have 2 to 4 objects, which never overlap by half.
        assert 1 / 4 <= metrics["grounding/random_object"] <= 1 / 2
