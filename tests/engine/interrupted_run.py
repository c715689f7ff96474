"""A small training with all that draws random numbers or keeps state, to be interrupted and compared.

``python -m tests.engine.interrupted_run`` goes through every kind of run and every step to resume at; the tests take a
few of them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from bus_toolkit.config import load_config
from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.shards.shard_sources import pairs_of_coco
from bus_toolkit.data.shards.write_shards import write_shards
from bus_toolkit.engine import RunOptions, build_runner, load_checkpoint_file

CONFIG = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
LOADER = "train_dataloader"
_CLOCKS = (
    "time",
    "data_time",
    "samples_per_second",
    "memory",
    "memory_cpu",
    "seconds",
)  # figures that no two runs share
_SMALL = (
    "model.text_encoder.hidden_size=32",
    "model.text_encoder.num_layers=1",
    "model.backbone.arch={embed_dims: 32, num_layers: 3, num_heads: 4, feedforward_channels: 64}",
    "model.backbone.drop_rate=0.1",
    "model.backbone.drop_path_rate=0.1",
    "model.selectors.0.blocks=[2]",
    "model.selectors.0.keep_ratio={start: 0.9, end: 0.4, epochs: 2}",
    "model.heads.itc={type: ITCHead, feature_dim: 16, queue_size: 24}",
    *(f"model.heads.{name}.start_epoch=0" for name in ("itm", "mlm", "prefix_lm")),
    "model.momentum={decay: 0.9}",
    f"{LOADER}.batch_size=6",
    "param_scheduler.0.end=6",
    "default_hooks.checkpoint={type: AtomicCheckpointHook, by_epoch: false, interval: 1, max_keep_ckpts: -1}",
    "default_hooks.progress.interval=1000",
    "default_hooks.logger.interval=1000",
)
KINDS: dict[str, Sequence[str]] = {
    "plain rows": ("train_cfg.max_epochs=2",),
    "rows with boxes, average of weights, accumulation": (
        "train_cfg.max_epochs=2",
        f"{LOADER}.dataset.box_fraction=0.5",
        f"{LOADER}.batch_sampler={{type: RegionBatchSampler, region_batch_size: 2, boxed_rows: 1}}",
        "custom_hooks=[{type: EMAHook, momentum: 0.1}]",
        "optim_wrapper.accumulative_counts=2",
    ),
    "bfloat16, rates by epoch": (
        "train_cfg.max_epochs=2",
        "optim_wrapper.type=AmpOptimWrapper",
        "param_scheduler=[{type: MultiStepLR, milestones: [1], by_epoch: true}]",
    ),
    "float16": ("train_cfg.max_epochs=2", "optim_wrapper={type: AmpOptimWrapper, dtype: float16}"),
    "steps": (
        "train_cfg={_delete_: true, type: IterBasedTrainLoop, max_iters: 12, val_interval: 100000}",
        f"{LOADER}.batch_sampler=null",
    ),
    "steps without end": (
        "train_cfg={_delete_: true, type: IterBasedTrainLoop, max_iters: 12, val_interval: 100000}",
        f"{LOADER}.sampler={{type: InfiniteSampler, shuffle: true}}",
        f"{LOADER}.batch_sampler=null",
    ),
    "steps, rows with boxes": (
        "train_cfg={_delete_: true, type: IterBasedTrainLoop, max_iters: 12, val_interval: 100000}",
        f"{LOADER}.dataset.box_fraction=0.5",
        f"{LOADER}.batch_sampler={{type: RegionBatchSampler, region_batch_size: 2}}",
    ),
}


def sources(scenes: Path) -> list[str]:
    """Return the overrides of two sources in each batch."""
    node = {"type": "SceneDataset", "data_root": str(scenes), "split": "train", "num_images": 12, "scenes": {}}
    pipeline = "pipeline: [{type: LoadImage}, {type: RandomFlipWithText, prob: 0.5}, {type: PackRegions}]"
    common = ", ".join(f"{key}: {value}" for key, value in node.items())
    captions = f"captions: {{objectives: [itc, itm, mlm, prefix_lm], dataset: {{{common}, {pipeline}}}}}"
    boxes = f"boxes: {{objectives: [ptm], boxed_only: true, dataset: {{{common}, box_fraction: 0.5, {pipeline}}}}}"
    return [
        f"{LOADER}.dataset={{_delete_: true, type: MixedSources, sources: {{{captions}, {boxes}}}}}",
        f"{LOADER}.batch_sampler={{_delete_: true, type: MixedBatchSampler, weights: {{captions: 5, boxes: 2}}}}",
        f"{LOADER}.batch_size=7",
    ]


def shards(folder: Path) -> list[str]:
    """Return the overrides of samples from shards."""
    pipeline = "[{type: LoadImageFromBytes}, {type: RandomFlipWithText, prob: 0.5}, {type: PackRegions}]"
    node = f"{{_delete_: true, type: ShardDataset, shards: '{folder}/*.tar', pipeline: {pipeline}}}"
    return [
        f"{LOADER}.dataset={node}",
        f"{LOADER}.sampler={{_delete_: true, type: ShardShuffleSampler, buffer_shards: 2}}",
    ]


def write_data(folder: Path) -> Path:
    """Draw the scenes, write them into shards; return the folder."""
    drawn = prepare_scenes(folder, "train", 12, SceneSettings.parse({}), 1)
    files = {name: str(drawn / f"{name}_train.json") for name in ("instances", "regions")}
    write_shards(pairs_of_coco(str(drawn), "captions_train.json", **files), folder / "shards", samples_per_shard=5)
    return folder


def overrides_of(kind: str, data: Path) -> list[str]:
    """Return the overrides of a kind of run, by its name."""
    steps = "train_cfg={_delete_: true, type: IterBasedTrainLoop, max_iters: 12, val_interval: 100000}"
    more = {
        "two sources": ["train_cfg.max_epochs=2", *sources(data)],
        "two sources, steps": [steps, *sources(data)],
        "two sources without end": [steps, f"{LOADER}.sampler.type=InfiniteSampler", *sources(data)],
        "shards": ["train_cfg.max_epochs=2", *shards(data / "shards")],
        "shards without end": [steps, *shards(data / "shards"), f"{LOADER}.sampler.type=EndlessShardSampler"],
    }
    return [*(KINDS[kind] if kind in KINDS else more[kind])]


ALL_KINDS = (*KINDS, "two sources", "two sources, steps", "two sources without end", "shards", "shards without end")


def config_of(kind: str, data: Path, *more: str, workers: int = 0, persistent: bool = False) -> Config:
    """Return the config of a kind of run."""
    own = [f"{LOADER}.dataset.data_root={data}", f"{LOADER}.dataset.num_images=12"] if kind in KINDS else []
    return load_config(
        CONFIG,
        [
            *own,
            *(f"{loader}.dataset.data_root={data}" for loader in ("val_dataloader", "test_dataloader")),
            *_SMALL,
            f"{LOADER}.num_workers={workers}",
            f"{LOADER}.persistent_workers={str(persistent and workers > 0).lower()}",
            *overrides_of(kind, data),
            *more,
        ],
    )


def train(config: Config, folder: Path, resume: Path | None = None, launcher: str = "none") -> dict[str, Any]:
    """Train to the end, from the start or from a checkpoint; return the last checkpoint."""
    options = RunOptions(
        work_dir=str(folder), no_validate=True, launcher=launcher, resume=None if resume is None else str(resume)
    )
    runner = build_runner(config, options)
    runner.train()
    return load_checkpoint_file(folder / f"iter_{runner.iter}.pth")


def differences(whole: Mapping[str, Any], resumed: Mapping[str, Any]) -> list[str]:
    """Return what two checkpoints hold otherwise: weights, optimizer, schedules, averages, figures of the log."""
    left, right = dict(_values(whole)), dict(_values(resumed))
    return sorted(
        path for path in left.keys() | right.keys() if not _equal(left.get(path), right.get(path)) and _compared(path)
    )


def _compared(path: str) -> bool:
    return not path.startswith(("meta.time", "meta.cfg", "meta.experiment_name", "meta.mmengine_version")) and not any(
        path.endswith(clock) or f"{clock}." in path for clock in _CLOCKS
    )


def _values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, HistoryBuffer):
        yield from ((f"{path}.{number}", part) for number, part in enumerate(node.data))
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key not in ("runtime_info", "bus_toolkit"):  # paths and configs of the run
                yield from _values(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _values(value, f"{path}.{number}")
    else:
        yield path, node


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and one == other


def main(kinds: Sequence[str]) -> int:
    """Go through kinds of runs and steps; return the number of resumed runs that differ."""
    torch.set_num_threads(1)
    failures = 0
    with tempfile.TemporaryDirectory() as root:
        data = write_data(Path(root) / "data")
        for kind in kinds or ALL_KINDS:
            whole = train(config_of(kind, data), Path(root) / "whole")
            last = whole["meta"]["iter"]
            for workers, persistent in ((0, False), (2, False), (2, True)):
                for step in range(1, last) if not workers else (last // 3, last // 2):
                    folder = Path(root) / "resumed"
                    config = config_of(kind, data, workers=workers, persistent=persistent)
                    resumed = train(config, folder, Path(root) / "whole" / f"iter_{step}.pth")
                    found = differences(whole, resumed)
                    failures += bool(found)
                    print(
                        f"{kind}, {workers} workers ({persistent}), from step {step} of {last}: "
                        f"{len(found)} differences {found[:3]}",
                        flush=True,
                    )
                    shutil.rmtree(folder)
            shutil.rmtree(Path(root) / "whole")
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
