"""The GPU of this process, among those that it sees."""

from __future__ import annotations

import os

import torch

from bus_toolkit.errors import ConfigError


def own_gpu() -> int:
    """Return the number of the GPU that this process uses: its place on the machine, or 0 where it sees its own alone.

    Slurm's ``--gpus-per-task=1`` and ``--gpu-bind`` show each process one GPU, which is its number 0. Two processes
    that see the same single GPU are found by NCCL, which refuses it with both ranks.

    Raises:
        ConfigError: There are more processes on this machine than GPUs.
    """
    local_rank, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if num_gpus == 1 and _is_bound():
        return 0
    if local_rank >= num_gpus:
        raise ConfigError(
            f"--launcher: process {local_rank} of this machine has no GPU, got {num_gpus} visible GPUs. Start at most "
            f"{num_gpus} processes a machine, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on the CPU."
        )
    return local_rank


def _is_bound() -> bool:
    """Return whether Slurm or MPI has started this process, which may show each of them a GPU of its own."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and any(
        name in os.environ for name in ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    )
