"""Figures of a training that its line shows beside losses, tokens and speed; they are in its log, too."""

from __future__ import annotations

import resource
from collections.abc import Sequence

import torch
from mmengine.logging import MessageHub

_MIB = 2**20


def note_memory(hub: MessageHub) -> None:
    """Log the most memory that this process has taken on the CPU, MiB; that of a GPU MMEngine logs, as ``memory``."""
    hub.update_scalar("train/memory_cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux: KiB


def step_figures(hub: MessageHub, steps: int) -> Sequence[str]:
    """Return what is known of: norm of the gradients, wait for data, most memory, steps left out.

    Args:
        hub: The log of the run.
        steps: Iterations since the last line, over which waits are averaged.
    """
    scalars = hub.log_scalars
    figures = []
    if "train/grad_norm" in scalars:  # of the step that LearningFaultsHook has read last
        figures.append(f"grad {scalars['train/grad_norm'].current():.3g}")
    if "train/data_time" in scalars:
        figures.append(f"data {scalars['train/data_time'].mean(steps):.3f} s")
    if torch.cuda.is_available():
        figures.append(f"GPU {torch.cuda.max_memory_allocated() / _MIB:.0f} MiB")
    else:
        figures.append(f"memory {scalars['train/memory_cpu'].current():.0f} MiB")
    left_out = scalars["train/steps_left_out"].current() if "train/steps_left_out" in scalars else 0
    return [*figures, f"{left_out:.0f} left out"] if left_out else figures
