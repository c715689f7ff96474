"""The training that is killed: a small BUS on scenes, two ranks, checkpoints within an epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["bus_toolkit.engine", "bus_toolkit.models"])
RANKS = 2
MOMENT = "moment"
_SMALL: dict[str, Any] = {
    "model.text_encoder.hidden_size": 16,
    "model.text_encoder.num_layers": 1,
    "model.text_encoder.num_heads": 2,
    "model.text_encoder.dropout": 0.1,
    "model.text_decoder.num_layers": 1,
    "model.text_decoder.num_heads": 2,
    "model.backbone.arch": {"embed_dims": 16, "num_layers": 3, "num_heads": 2, "feedforward_channels": 32},
    "model.backbone.drop_rate": 0.1,
    "model.backbone.drop_path_rate": 0.1,
    "model.fusion.num_layers": 1,
    "model.fusion.num_heads": 2,
    "model.decoder.num_heads": 2,
    "model.selectors.0.blocks": [2],
    "model.heads.itc": {"type": "ITCHead", "feature_dim": 8, "queue_size": 64},
    "model.heads.itm.start_epoch": 0,
    "model.heads.mlm.start_epoch": 0,
    "model.heads.prefix_lm.start_epoch": 0,
    "model.momentum": {"decay": 0.9},
    "train_dataloader.batch_size": 4,
    "train_dataloader.batch_sampler.region_batch_size": 2,
    "train_dataloader.dataset.num_images": 24,
    "train_dataloader.dataset.box_fraction": 0.5,
    "val_dataloader.dataset.num_images": 8,
    "test_dataloader.dataset.num_images": 8,
    "default_hooks.checkpoint": {"type": "AtomicCheckpointHook", "by_epoch": False, "interval": 2, "max_keep_ckpts": 2},
    "default_hooks.logger.interval": 1,
    "default_hooks.report": None,
    "train_cfg.max_epochs": 3,
    "train_cfg.val_interval": 1,
}


@dataclass(frozen=True)
class Setting:
    """A training.

    Attributes:
        workers: Of the loader of each rank.
        data: Folder of the scenes, which all trainings share.
        pause: Seconds that a file takes to reach the disk, so that kills fall into the writing of a checkpoint.
        epochs: Its length.
    """

    workers: int
    data: Path
    pause: float = 0.03
    epochs: int = 3

    def overrides(self) -> dict[str, Any]:
        """Return the values by YAML path."""
        loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
        return {
            **_SMALL,
            **{f"{loader}.dataset.data_root": str(self.data) for loader in loaders},
            "train_dataloader.num_workers": self.workers,
            "train_dataloader.persistent_workers": self.workers > 0,
            "train_cfg.max_epochs": self.epochs,
        }


class MomentHook(Hook):
    """Note in a file whether the training steps or evaluates."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def before_val_epoch(self, runner: Any) -> None:
        """Note the evaluation."""
        self.file.write_text("evaluating")

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note the training."""
        self.file.write_text("training")


def start(folder: Path, setting: Setting, *, resume: bool) -> list[BaseProcess]:
    """Start the ranks of the training in ``folder``, where each writes what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MOMENT).write_text("starting")
    meeting = (folder / f"meeting_{time.monotonic_ns()}").as_uri()
    processes = [CONTEXT.Process(target=_train, args=(folder, setting, rank, meeting, resume)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    return processes


def _train(folder: Path, setting: Setting, rank: int, meeting: str, resume: bool) -> None:
    import torch
    import torch.distributed as dist

    from bus_toolkit.engine import RunOptions, train

    with (folder / f"screen_{rank}.txt").open("a") as shown:
        os.dup2(shown.fileno(), 1)
        os.dup2(shown.fileno(), 2)
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), CUDA_VISIBLE_DEVICES="")
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=RANKS)
    options = RunOptions(work_dir="work", resume="latest" if resume else None, launcher="pytorch")
    hooks: Sequence[Hook] = [MomentHook(folder / MOMENT)] if rank == 0 else []
    with _slow_disk(folder / MOMENT, setting.pause, is_noted=rank == 0):
        train("bus/bus_scenes_tiny", setting.overrides(), options, hooks=hooks)


class _slow_disk:
    """Let ``os.fsync`` take some time, and note that a file is being written."""

    def __init__(self, file: Path, pause: float, *, is_noted: bool) -> None:
        self.file, self.pause, self.is_noted = file, pause, is_noted

    def __enter__(self) -> None:
        self.fsync: Callable[[int], None] = os.fsync
        os.fsync = self._slow  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        os.fsync = self.fsync

    def _slow(self, number: int) -> None:
        before = self.file.read_text() if self.is_noted else ""
        if self.is_noted:
            self.file.write_text("writing")
        time.sleep(self.pause)
        self.fsync(number)
        if self.is_noted:
            self.file.write_text(before)
