"""The captioning recipe, cut to a few steps: it trains, and its evaluation describes each image once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, evaluate, train

CONFIG = Path(__file__).parent.parent / "registry_configs" / "bus" / "bus_caption_scenes_tiny.yaml"


@pytest.mark.slow
def test_captions_are_trained_and_measured(tmp_path: Path) -> None:
    overrides = [
        f"train_dataloader.dataset.data_root={tmp_path / 'train'}",
        "train_dataloader.dataset.num_images=4",
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
    ]
    for stage in ("val", "test"):
        path = f"{stage}_dataloader.dataset.dataset"
        overrides += [f"{path}.data_root={tmp_path / stage}", f"{path}.num_images=6"]
    run = tmp_path / "run"
    train(CONFIG, overrides, RunOptions(work_dir=str(run)))
    trained = json.loads((run / "report" / "val" / "results.json").read_text())["metrics"]
    options = RunOptions(work_dir=str(tmp_path / "test_run"), load_from=str(run / "epoch_1.pth"))
    tested = evaluate(CONFIG, overrides, options)
    for metrics in (trained, tested):
        assert metrics["caption/num_images"] == 6.0 < metrics["caption/num_references"]
        for name in ("BLEU_1", "BLEU_4", "ROUGE_L"):
            assert 0.0 <= metrics[f"caption/{name}"] <= 1.0
        assert 0.0 <= metrics["caption/CIDEr_D"] <= 10.0
        assert metrics["caption/constant_BLEU_1"] > 0.3
