"""The first line of a command that takes seconds to start."""

from __future__ import annotations

import os
import sys

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")


def say_loading() -> None:
    """Say on standard error, once for all processes of a run, what takes the first seconds."""
    if all(os.environ.get(name, "0") == "0" for name in _RANKS):
        print("Loading PyTorch and OpenMMLab ...", file=sys.stderr, flush=True)
