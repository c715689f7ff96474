"""How much of what is kept between two stages may stay on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError

# Leaves room for the model on common devices. It holds 1,200 images of 577 tokens at width 768 in float32.
DEFAULT_GIB = 2.0


class DeviceMemory:
    """Bytes for tensors that stay where they were computed; what does not fit waits on the CPU.

    A tensor is only ever moved as a whole, and comes back with the same bits.

    Args:
        gibibytes: How much; 0 keeps everything on the CPU. Without effect for a model on the CPU.
        owner: The setting that a user gave, for messages.

    Raises:
        ConfigError: Less than 0.
    """

    def __init__(self, gibibytes: float = DEFAULT_GIB, *, owner: str = "device_memory") -> None:
        if not gibibytes >= 0:
            raise ConfigError(f"{owner}: must be 0 GiB or more, got {gibibytes}. 0 keeps all on the CPU.")
        self.free_bytes = int(gibibytes * 2**30) if gibibytes != float("inf") else 2**63

    def keep(self, tensor: Tensor) -> Tensor:
        """Return the tensor where it will be kept: itself, or a copy on the CPU if it no longer fits."""
        if tensor.device.type == "cpu":
            return tensor
        if tensor.nbytes > self.free_bytes:
            return tensor.cpu()
        self.free_bytes -= tensor.nbytes
        return tensor

    def release(self, tensor: Tensor) -> None:
        """Give back what a kept tensor took."""
        if tensor.device.type != "cpu":
            self.free_bytes += tensor.nbytes


def join(parts: list[Tensor], combine: Callable[[list[Tensor]], Tensor], device: torch.device) -> Tensor:
    """Return kept tensors combined on ``device``; where all wait on the CPU, they are moved there together."""
    if any(part.device == device for part in parts):
        parts = [part if part.device == device else part.to(device, non_blocking=True) for part in parts]
    joined = combine(parts)
    return joined if joined.device == device else joined.to(device)
