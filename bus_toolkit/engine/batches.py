"""How many samples a batch, an optimizer step and an epoch have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Batches:
    """The sizes that rates and schedules are planned for.

    Attributes:
        batch_size: Rows of a batch of one process; those that serve the patch-text loss only do not count.
        processes: Processes that each have such a batch.
        accumulation: Batches of a process whose gradients make one optimizer step.
        steps_per_epoch: Batches of a process in an epoch.
    """

    batch_size: int
    processes: int
    accumulation: int
    steps_per_epoch: int

    @classmethod
    def of(cls, loader: DataLoader, optim_wrapper: OptimWrapper) -> Batches:
        """Return those of a training."""
        # A loader with a batch sampler of its own has no size: the sampler has it.
        size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 1
        accumulation = max(wrapper._accumulative_counts for wrapper in wrappers_of(optim_wrapper))
        return cls(int(size), get_world_size(), accumulation, len(loader))

    @property
    def samples_per_update(self) -> int:
        """Samples of an optimizer step over all processes."""
        return self.batch_size * self.processes * self.accumulation

    def __str__(self) -> str:
        """Name the factors of the samples of an optimizer step."""
        return (
            f"{self.samples_per_update} samples an optimizer step (batch {self.batch_size} x {self.processes} "
            f"process{'es' if self.processes > 1 else ''} x accumulation {self.accumulation})"
        )


def wrappers_of(optim_wrapper: Any) -> Sequence[OptimWrapper]:
    """Return the wrappers of all optimizers of a training."""
    return list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
