"""A training that notes the random numbers of its samples and of its steps."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset, Sampler

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.registry import DATA_SAMPLERS, DATASETS, MODELS
from tests.engine.tiny_run import tiny_config

Run = tuple[dict[tuple[int, int], tuple[float, ...]], dict[int, list[float]]]


@DATASETS.register_module(force=True)
class DrawnPoints(Dataset):
    """Somebody's data set, which draws from all three generators."""

    metainfo = {"name": "drawn"}

    def __init__(self, length: int = 9) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        drawn = [float(index), random.random(), np.random.random(), torch.rand(()).item()]
        return {"inputs": torch.tensor(drawn), "data_samples": index}


@MODELS.register_module(force=True)
class NotesDraws(BaseModel):
    """It notes each batch in training, and the dropout mask that it drew for it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.batches: list[torch.Tensor] = []
        self.masks: list[list[float]] = []

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = "tensor") -> Any:
        if mode != "loss":
            return list(self.linear(inputs))
        self.batches.append(inputs)
        self.masks.append(nn.functional.dropout(torch.ones(32), training=self.training).tolist())
        return {"loss": self.linear(inputs).pow(2).mean()}


@DATA_SAMPLERS.register_module(force=True)
class PlainPairs(Sampler[list[int]]):
    """Somebody's batch sampler, which makes numbers of its own out of a sampler's."""

    def __init__(self, sampler: Sampler[int], batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        return len(self.sampler) // 2

    def __iter__(self):
        rows = [int(row) for row in self.sampler]
        return iter([[rows[2 * pair], rows[2 * pair + 1]] for pair in range(len(self))])


def run(folder: Path, *, options: RunOptions | None = None, loader: dict[str, Any] | None = None, **more: Any) -> Run:
    """Train; return (step, index) to the numbers that its sample drew, and step to the mask of the step."""
    config = tiny_config(folder, batch_size=3)
    config.model = {"type": "bus_toolkit.NotesDraws"}
    for name in ("train_dataloader", "val_dataloader"):
        config[name].dataset = {"type": "bus_toolkit.DrawnPoints"}
    config.merge_from_dict({f"train_dataloader.{key}": value for key, value in (loader or {}).items()})
    config.merge_from_dict(copy.deepcopy(more))  # it takes out `_delete_`
    runner = build_runner(config, options)
    runner.train()
    model: Any = unwrap(runner.model)
    steps = range(runner.iter - len(model.batches), runner.iter)
    samples = {
        (step, int(row[0])): tuple(row[1:].tolist())
        for step, batch in zip(steps, model.batches, strict=True)
        for row in batch
    }
    return samples, dict(zip(steps, model.masks, strict=True))


def draws_of_epoch(samples: dict[tuple[int, int], tuple[float, ...]], steps: Sequence[int]) -> dict[int, Any]:
    """Return index to numbers, of some steps."""
    return {index: drawn for (step, index), drawn in samples.items() if step in steps}
