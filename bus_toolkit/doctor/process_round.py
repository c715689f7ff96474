"""Two processes that add their numbers up, as those of a distributed training do."""

from __future__ import annotations

import datetime

import torch
import torch.distributed as dist

from bus_toolkit.doctor.finding import Finding, fault, ok


def check(rank: str, world_size: str, file: str, seconds: str) -> list[Finding]:
    """Take part in the round as one of its processes.

    Args:
        rank: From ``0`` on.
        world_size: How many take part.
        file: A path by which they find each other; no such file exists.
        seconds: Time until it gives up.
    """
    timeout = datetime.timedelta(seconds=float(seconds))
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=int(rank), world_size=int(world_size), timeout=timeout
    )
    number = torch.tensor([float(rank) + 1])
    dist.all_reduce(number)
    dist.destroy_process_group()
    wanted = int(world_size) * (int(world_size) + 1) / 2
    words = f"{world_size} processes over gloo: the sum of their numbers is {number.item():g}"
    if number.item() != wanted:
        return [fault(words, f"It must be {wanted:g}. Install PyTorch again, and report it with this page.")]
    return [ok(words)]
