"""The single-stream recipes on a few scenes in COCO's format: three steps, an evaluation, a picture of what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.engine import RunOptions, train
from bus_toolkit.inference import Inferencer

CONFIGS = Path(__file__).parents[1] / "registry_configs"
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of each split."""
    root = tmp_path_factory.mktemp("scenes")
    return {split: prepare_scenes(root, split, 4, SceneSettings(), workers=1) for split in ("train", "val")}


def cut(scenes: dict[str, Path], num_layers: int, *more: str) -> list[str]:
    """Return overrides to three steps of 4 pairs at width 32, with 16 patches."""
    split = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
    return [
        "settings.image_size=64",
        "model.backbone.img_size=64",
        "model.backbone.patch_size=16",
        f"model.backbone.arch={{embed_dims: 32, num_layers: {num_layers}, num_heads: 4, feedforward_channels: 64}}",
        "model.text_encoder.hidden_size=32",
        "model.text_encoder.num_heads=4",
        *(f"{loader}.dataset.dataset.data_root={scenes[split[loader]]}" for loader in LOADERS),
        *(f"{loader}.dataset.dataset.ann_file=captions_{split[loader]}.json" for loader in LOADERS),
        *(f"{loader}.num_workers=0" for loader in LOADERS),
        *(f"{loader}.persistent_workers=false" for loader in LOADERS),
        "train_dataloader.batch_size=4",
        "optim_wrapper.accumulative_counts=1",
        "train_cfg.max_iters=3",
        "train_cfg.val_interval=3",
        "default_hooks.checkpoint.interval=3",
        "param_scheduler=null",
        "auto_scale_lr=null",
        "default_hooks.report=null",
        *more,
    ]


def metrics_of(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in next(folder.glob("*/vis_data/scalars.json")).read_text().splitlines()]
    return {name: value for line in lines for name, value in line.items()}


def test_copa_in_a_single_stream_trains_searches_and_explains(scenes: dict[str, Path], tmp_path: Path) -> None:
    boxes = [
        f"train_dataloader.dataset.instances_file={scenes['train']}/instances_train.json",
        f"train_dataloader.dataset.regions_file={scenes['train']}/regions_train.json",
        "train_dataloader.batch_sampler.region_batch_size=2",
        "val_cfg.rerank_topk=2",
        "test_cfg.rerank_topk=2",
    ]
    train(CONFIGS / "copa" / "copa_single_stream.yaml", cut(scenes, 4, *boxes), RunOptions(work_dir=str(tmp_path)))
    found = metrics_of(tmp_path)
    assert {"loss_itc", "loss_itm", "loss_mlm", "loss_ptm"} <= found.keys()
    assert {"retrieval/i2t_R@1", "retrieval/rerank_i2t_R@1", "itm/accuracy"} <= found.keys()
    asked = Inferencer(tmp_path)
    image = next((scenes["val"] / "images").iterdir())
    explained = asked.explain([str(image)], ["a red star"], out=tmp_path / "kept.png")
    assert explained[0]["tokens"] == {"patches": 17, "block 4": 10, "decoder": 10}
    assert (tmp_path / "kept.png").is_file()


def test_pumer_on_vilt_trains_and_matches(scenes: dict[str, Path], tmp_path: Path) -> None:
    train(CONFIGS / "neighbours" / "pumer_vilt.yaml", cut(scenes, 9), RunOptions(work_dir=str(tmp_path)))
    found = metrics_of(tmp_path)
    assert {"loss_itm", "loss_mlm", "itm/accuracy"} <= found.keys()
