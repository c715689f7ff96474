"""Scenes go into shards, and a config made of the base files trains and evaluates on them."""

import json
from pathlib import Path

import pytest
import torch

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.shards.shard_sources import pairs_of_coco
from bus_toolkit.data.shards.write_shards import write_shards
from bus_toolkit.engine import RunOptions, evaluate, train

BASE = Path(__file__).parents[3] / "registry_configs" / "_base_"
MODEL = {
    "selectors": [{"type": "TSPS", "blocks": [3], "keep_ratio": 0.5}],
    "decoder": {"type": "PAD", "num_layers": 1, "num_heads": 4},
    "heads": {
        "itc": {"type": "ITCHead", "feature_dim": 16},
        "itm": {"type": "ITMHead"},
        "ptm": {"type": "PatchTextHead"},
    },
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Return a folder with shards of 4 training scenes and 6 validation scenes."""
    root = tmp_path_factory.mktemp("scenes")
    for split, count in (("train", 4), ("val", 6)):
        folder = prepare_scenes(root, split, count, SceneSettings.parse({}), 1)
        files = {name: str(folder / f"{name}_{split}.json") for name in ("instances", "regions")}
        pairs = pairs_of_coco(str(folder), f"captions_{split}.json", **files)
        write_shards(pairs, root / "shards" / split, samples_per_shard=5)
    return root / "shards"


def test_a_tiny_model_trains_and_is_evaluated_from_shards(shards, tmp_path):
    config = tmp_path / "shards.yaml"
    names = ("model_scenes", "data_shards_256", "schedule_tiny", "runtime")
    content = {"_base_": [str(BASE / f"{name}.yaml") for name in names], "model": MODEL}
    config.write_text(json.dumps(content))
    overrides = [
        f"train_dataloader.dataset.shards={shards}/train/train-*.tar",
        "settings.image_size=64",
        "train_dataloader.batch_size=4",
        "train_dataloader.sampler.buffer_shards=2",
        "train_dataloader.batch_sampler.region_batch_size=2",
        "train_cfg.max_epochs=1",
    ]
    for split in ("train", "val", "test"):
        overrides += [f"{split}_dataloader.num_workers=0", f"{split}_dataloader.persistent_workers=false"]
    for split in ("val", "test"):
        overrides += [
            f"{split}_dataloader.dataset.shards={shards}/val/val-*.tar",
            f"{split}_cfg.rerank_topk=2",
        ]
    train(config, overrides, RunOptions(work_dir=str(tmp_path / "run"), no_validate=True))
    checkpoint = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=False)
    assert checkpoint["meta"]["iter"] >= 2
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values() if value.is_floating_point())
    options = RunOptions(work_dir=str(tmp_path / "test"), load_from=str(tmp_path / "run" / "epoch_1.pth"))
    metrics = evaluate(config, overrides, options)
    assert 0.0 <= metrics["retrieval/i2t_R@1"] <= 1.0
