"""What a checkpoint holds, made whole from the shards of all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from bus_toolkit.engine.parallel.fsdp2 import FSDP2
from bus_toolkit.engine.parallel.sharded_files import write_shards
from bus_toolkit.ops.collective import rank
from bus_toolkit.ops.shards import whole


def gather_state(runner: Runner, path: Path, *, with_optimizer: bool) -> dict[str, Any] | None:
    """Return the sections of a checkpoint that hold tensors of the model; all ranks call it.

    Args:
        runner: It trains.
        path: Of the checkpoint.
        with_optimizer: Whether the optimizer's state is saved, too.

    Returns:
        ``state_dict`` and ``optimizer``, whole and on the CPU, on rank 0: one tensor is gathered after the other, and
        no other rank keeps any. Or, if each rank is to write its part, what remains for the file of rank 0. ``None``
        where nothing is spread.
    """
    model: Any = runner.model
    if not isinstance(model, FSDP2) or not model.is_sharded:
        return None
    weights: Any = model.module.state_dict()
    sections: dict[str, Any] = {"state_dict": weights}
    if with_optimizer and isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict):
        sections["optimizer"] = runner.optim_wrapper.state_dict()
    if model.checkpoints == "shards":
        saved = write_shards(sections, path)
    else:
        saved = {name: _gathered(section, rank() == 0) for name, section in sections.items()}
    held = type(weights)(saved["state_dict"])
    held._metadata = weights._metadata  # versions of parts, by which positions are read
    return {**saved, "state_dict": held}


class WholeStateHook(Hook):
    """Put whole tensors in the place of rank 0's shards in each checkpoint; in every run."""

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Do so before any other hook looks at the weights."""
        checkpoint.update(runner.gathered or {})


class GatherHook(Hook):
    """Have all weights on each rank for an evaluation; in every run."""

    priority = "VERY_HIGH"

    def before_val(self, runner: Runner) -> None:
        """Gather them."""
        if isinstance(runner.model, FSDP2):
            runner.model.gather()

    before_test = before_val


class SpreadHook(Hook):
    """Let go of them after it; in every run."""

    priority = "LOWEST"

    def after_val(self, runner: Runner) -> None:
        """Let go."""
        if isinstance(runner.model, FSDP2):
            runner.model.spread()

    after_test = after_val


def _gathered(value: Any, keeps: bool) -> Any:
    if isinstance(value, Tensor):
        full = whole(value.detach())
        return full.to("cpu", copy=True) if keeps else torch.empty(0)
    if isinstance(value, Mapping):
        return {name: _gathered(inner, keeps) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_gathered(inner, keeps) for inner in value)
    return value
