"""``python -m tests.contracts.on_gpu [CONFIG ...]``: the steps of shipped models on a GPU that is not there; an hour.

Each is built without numbers (torch's meta device), and runs a training step in float32 and in bfloat16 autocast, with
optimizer, momentum and queue, and an evaluation batch on fake CUDA tensors. Printed is what mixes devices or types, or
waits for the device in the step.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence

import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.analysis.benchmark.workload import made_up_batch
from bus_toolkit.engine import quiet_hosts
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.shipped import list_configs
from bus_toolkit.testing.on_gpu import check_model_on_gpu
from tests.recipes.stand_ins import write_stand_ins


def problem_of(config: str) -> str | None:
    """Return what is wrong with a model on a GPU: nothing (``""``), or ``None`` if it is no ``VLPModel``."""
    model_node = load_config(config).get("model")
    if model_node is None or model_node.get("type") != "bus_toolkit.VLPModel":
        return None
    with torch.device("meta"):
        model = build_model(model_node)
    assert isinstance(model, VLPModel)
    may_wait = any(getattr(head, "waits_for_device", False) for head in model.heads.values())
    try:
        check_model_on_gpu(model, *made_up_batch(model, 2, 12), may_wait=may_wait)
    except Exception as error:  # whatever one model does, the others are still tried
        return f"{type(error).__name__}: {error}"
    return ""


def main(configs: Sequence[str]) -> None:
    """Try each, and print a line of it."""
    quiet_hosts()
    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_stand_ins()
        for config in configs or list_configs():
            problem = problem_of(config)
            failed |= bool(problem)
            if problem is not None:
                print(f"{config}: {problem or 'good'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1:])
