"""Copies from the CPU to a device that the program does not wait for."""

from __future__ import annotations

import torch
from torch import Tensor

# Of other devices torch either has no pinned memory or shares the CPU's.
_PINNED = ("cuda", "xpu")


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device; one on the CPU is copied by way of pinned memory, for which nothing waits.

    ``tensor.to(device)`` waits until all that the device was given before is done; with ``non_blocking=True`` it still
    may, since a copy from pageable memory goes through a buffer of the driver. A tensor on another device than the CPU
    is moved as torch does it.

    Args:
        tensor: Any shape; a list of numbers is made one by ``torch.tensor`` first.
        device: Where to.
    """
    target = torch.device(device)
    if tensor.device.type != "cpu" or target.type not in _PINNED:
        return tensor.to(target)
    return tensor.pin_memory().to(target, non_blocking=True)


def on_one_device(tensors: list[Tensor]) -> list[Tensor]:
    """Return tensors where most of a batch is: on the first device that is not the CPU, if any is on one."""
    home = next((one.device for one in tensors if one.device.type != "cpu"), torch.device("cpu"))
    return [to_device(one, home) for one in tensors]
