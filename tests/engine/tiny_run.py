"""A run small enough to start dozens of times: a linear model on eight points, through the real Runner."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from bus_toolkit.registry import DATASETS, METRICS, MODELS
from bus_toolkit.step import PassCount


@MODELS.register_module(force=True)
class TinyModel(BaseModel):
    """Two loss terms, a counter that `after_step` moves, and a note of the progress."""

    def __init__(self, width: int = 1, spare: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(4, width)
        self.spare = nn.Linear(2, 2) if spare else None
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.progress: list[float] = []
        self.token_counts = {"caption": PassCount(2, {"block 2": 9, "decoder": 4})}
        self.dtypes: set[torch.dtype] = set()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = torch.stack([row.float() for row in inputs]) if isinstance(inputs, list) else inputs.float()
        out = self.linear(x)
        self.dtypes.add(out.dtype)
        if mode == "loss":
            target = x.sum(-1, keepdim=True)
            return {"loss_fit": (out - target).float().pow(2).mean(), "loss_size": 1e-3 * out.float().pow(2).mean()}
        return list(out)

    def after_step(self, stepped) -> None:
        self.steps += 1

    def set_progress(self, epoch: float, iteration: int) -> None:
        self.progress.append(epoch)


@DATASETS.register_module(force=True)
class TinyPoints(Dataset):
    metainfo = {"name": "points"}

    def __init__(self, length: int = 8) -> None:
        self.points = torch.randn(length, 4, generator=torch.Generator().manual_seed(3))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int):
        return {"inputs": self.points[index], "data_samples": index}


@METRICS.register_module(force=True)
class TinyMean(BaseMetric):
    default_prefix = "tiny"

    def process(self, data_batch, data_samples):
        self.results += [float(row.sum()) for row in data_samples]

    def compute_metrics(self, results):
        return {"mean": sum(results) / len(results)}


def tiny_config(work_dir, *, max_epochs: int = 2, batch_size: int = 4) -> Config:
    """Return a complete config; lists and dicts are fresh on every call."""
    loader = {
        "batch_size": batch_size,
        "num_workers": 0,
        "dataset": {"type": "bus_toolkit.TinyPoints"},
        "collate_fn": {"type": "default_collate"},
    }
    return Config(
        {
            "default_scope": "mmengine",
            "work_dir": str(work_dir),
            "model": {"type": "bus_toolkit.TinyModel"},
            "train_dataloader": loader | {"sampler": {"type": "DefaultSampler", "shuffle": True}},
            "val_dataloader": loader | {"sampler": {"type": "DefaultSampler", "shuffle": False}},
            "val_evaluator": {"type": "bus_toolkit.TinyMean"},
            "val_cfg": {"type": "ValLoop"},
            "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": max_epochs, "val_interval": 1000},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.05}},
            "param_scheduler": [{"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 3}],
            "randomness": {"seed": 0},
        }
    )
