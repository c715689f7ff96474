"""Run the battery within its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from bus_toolkit.gpu_battery.agreement import compare
from bus_toolkit.gpu_battery.arms import TOY, Size
from bus_toolkit.gpu_battery.parts import slots_of
from bus_toolkit.gpu_battery.report import Report
from bus_toolkit.gpu_battery.speed import measure

_LAST = 0.9  # share of the time after which no further arm is begun


def run_battery(size: Size, device: torch.device, *, minutes: float, tell: Callable[[Any], None]) -> Report:
    """Compare the parts with the CPU, then measure the arms.

    Args:
        size: How much.
        device: Where.
        minutes: When it has to be at its end; parts and arms for which no time is left are named.
        tell: Is given each result as it comes.
    """
    start = time.monotonic()
    report = Report(_machine(size, device))

    def has_time(share: float = _LAST) -> bool:
        return time.monotonic() - start < share * minutes * 60.0

    # The arms need the rest of the time.
    for agreement in compare(slots_of(size), device, has_time=lambda: has_time(_LAST / 3)):
        report.agreements.append(agreement)
        tell(agreement)
    for speed in measure(size, device, has_time=has_time):
        report.speeds.append(speed)
        tell(speed)
    report.seconds = time.monotonic() - start
    return report


def _machine(size: Size, device: torch.device) -> dict[str, Any]:
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1) if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "config": size.config,
        "is_toy": size is TOY,
    }
