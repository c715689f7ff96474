"""The recipes for statements, cut to a few steps: they train on generated statements, and each image is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, train
from tests.small_run import small

CONFIGS = Path(__file__).parent.parent / "registry_configs"


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("bus/bus_nlvr2_scenes_small", 2 / 3),
        ("albef/albef_nlvr2_scenes_small", 2 / 3),
        ("bus/bus_entailment_scenes_small", 1.0),
    ],
)
def test_statements_are_trained_and_measured(name: str, most: float, tmp_path: Path) -> None:
    overrides = small(tmp_path / "scenes", "load_from=null", "default_hooks.report.num_images=3")
    train(CONFIGS / f"{name}.yaml", overrides, RunOptions(work_dir=str(tmp_path / "run")))
    results = json.loads((tmp_path / "run" / "report" / "val" / "results.json").read_text())
    assert 0.0 <= results["metrics"]["classification/accuracy"] <= 1.0
    assert 1 / 3 <= results["metrics"]["classification/majority"] <= most
    assert "kept_patches_0.png" in results["pictures"]
