"""Print what a rank holds: ``python -m tests.equality.memory [--processes 2 4]``; DDP beside FSDP2, two steps.

The model is a BUS of some 35 million weights with momentum copies. Counted are the tensors that a rank keeps between
steps (weights, moments, copies, buffers), and by how much its resident memory grows at most in the second step, for
gradients, gathered units, buckets, activations.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper

from bus_toolkit import build_model, load_config
from bus_toolkit.analysis.benchmark.workload import adamw, made_up_batch
from bus_toolkit.engine import quiet_hosts
from bus_toolkit.engine.parallel.fsdp2 import FSDP2
from bus_toolkit.engine.parallel.phased_ddp import PhasedDDP
from bus_toolkit.engine.parallel.shard_model import shard_model
from bus_toolkit.engine.step_guard import guard_steps
from bus_toolkit.ops.shards import own_part

_WIDE = [
    "model.backbone.arch={embed_dims: 512, num_layers: 6, num_heads: 8, feedforward_channels: 2048}",
    "model.text_encoder.hidden_size=512",
    "model.text_encoder.num_heads=8",
    "model.momentum={}",
]


def main() -> None:
    """Start the ranks of each number of processes, and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--worker", choices=["ddp", "fsdp2"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.worker:
        _work(args.worker)
        return
    print("| processes | wrapper | kept between steps, MiB a rank | more at most in a step, MiB a rank |")
    print("| --- | --- | --- | --- |", flush=True)
    for count in args.processes:
        for wrapper in ("ddp", "fsdp2"):
            words = ["--standalone", f"--nproc_per_node={count}", "-m", "tests.equality.memory", "--worker", wrapper]
            # What is freed goes back at once, and is not counted.
            env = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 16), "MALLOC_TRIM_THRESHOLD_": str(1 << 16)}
            env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            subprocess.run([sys.executable, "-m", "torch.distributed.run", *words], check=True, env=env)


def _work(kind: str) -> None:
    dist.init_process_group("gloo")
    quiet_hosts()
    model: Any = build_model(load_config("bus/bus_scenes_small", _WIDE))
    wrapped: Any = PhasedDDP(model, broadcast_buffers=False) if kind == "ddp" else FSDP2(model)
    optimizer: Any = adamw(model)
    runner: Any = SimpleNamespace(model=wrapped, optim_wrapper=OptimWrapper(optimizer), hooks=[], cfg={})
    guard_steps(runner.optim_wrapper)
    shard_model(runner)
    images, samples = made_up_batch(model, 4, 16)
    for step in range(2):
        model.set_progress(1.0, step)
        gc.collect()
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets how much the process held at most (Linux, proc(5))
        wrapped.train_step({"inputs": images, "data_samples": samples}, runner.optim_wrapper)
        model.after_step()
    moments = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    kept = [*model.parameters(), *model.buffers(), *moments]
    size = sum(own_part(one.detach()).untyped_storage().nbytes() for one in kept)
    most = torch.tensor([float(size), float(_memory("VmHWM") - before)])
    dist.all_reduce(most, dist.ReduceOp.MAX)
    if dist.get_rank() == 0:
        held, grew = (most / 2**20).tolist()
        print(f"| {dist.get_world_size()} | {kind} | {held:,.0f} | {grew:,.0f} |", flush=True)
    dist.destroy_process_group()


def _memory(name: str) -> int:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
