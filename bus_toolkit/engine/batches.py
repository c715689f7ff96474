"""How many samples a batch, an optimizer step and an epoch have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.utils.data import DataLoader

from bus_toolkit.data.datasets.texts_of_image import texts_an_item

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batches:
    """The sizes that rates and schedules are planned for.

    Attributes:
        batch_size: Rows of a batch of one process, each a text with its image: 16 images with 8 texts are 128. Those
            that serve the patch-text loss only do not count.
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
        return cls(int(size) * texts_an_item(loader.dataset), get_world_size(), accumulation, len(loader))

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


def scale_rates(optim_wrapper: Any, batches: Batches, base: int) -> None:
    """Scale the rates of all groups by the samples of an optimizer step over ``base``, and report the factor.

    MMEngine counts the batch of one backward pass; with accumulation a step takes several.

    Args:
        optim_wrapper: The optimizer.
        batches: The sizes of the training.
        base: Samples of an optimizer step that the rates were chosen for.
    """
    factor = batches.samples_per_update / base
    for wrapper in wrappers_of(optim_wrapper):
        for group in wrapper.param_groups:
            group["lr"] *= factor
    _log.info("--auto-scale-lr: rates times %.4g: %s, %d in the config.", factor, batches, base)
