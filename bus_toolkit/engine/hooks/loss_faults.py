"""Losses that are always 0, counted on the device; tensors that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bus_toolkit.ops.shards import has_shards, own_part

TOTAL = "loss"


class LossFaults:
    """Find losses that are always 0; adding a step does not wait for the device."""

    def __init__(self) -> None:
        self._largest: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}
        self._trained: set[str] = set()

    def add(self, outputs: Mapping[str, Any]) -> None:
        """Add the losses of a step, the mean of all ranks: the terms of ``loss``; other figures are left out."""
        for name, value in outputs.items():
            if "loss" in name and name != TOTAL and name not in self._trained:
                largest = torch.as_tensor(value).detach().abs()
                self._largest[name] = largest.maximum(self._largest[name]) if name in self._largest else largest
                self._steps[name] = self._steps.get(name, 0) + 1

    def read_zeros(self, steps: int) -> dict[str, int]:
        """Return the losses that were exactly 0 in all of at least ``steps`` steps so far, with how many these are."""
        for name in [name for name, value in self._largest.items() if float(value)]:
            self._trained.add(name)
            del self._largest[name]
        return {name: self._steps[name] for name in self._largest if self._steps[name] >= steps}


def broken_tensors(model: nn.Module) -> list[str]:
    """Return the names of parameters that are not finite and of buffers that hold NaN; waits for the device once.

    Buffers are running statistics, queues and masks; in a mask infinities mean "never". If weights are spread over the
    ranks, all of these call it, and have the names of all.
    """
    # Reduced one by one: the places of all tensors at once would take a quarter of the weights' memory.
    floating = {n: own_part(p.detach()) for n, p in model.named_parameters() if p.is_floating_point()}
    bad = {n: (~torch.isfinite(p)).any() for n, p in floating.items()}
    bad |= {n: torch.isnan(b).any() for n, b in model.named_buffers() if b.is_floating_point()}
    if not bad:
        return []
    device = next(iter(bad.values())).device
    found = torch.stack([one.to(device) for one in bad.values()]).to(torch.uint8)
    if has_shards(model):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    is_bad = found.tolist()
    return [name for name, broken in zip(bad, is_bad, strict=True) if broken]
