"""Samples a second and peak memory of training steps of whole models, in bfloat16."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bus_toolkit.analysis.benchmark.memory import peak_bytes
from bus_toolkit.analysis.benchmark.timing import Stopwatch
from bus_toolkit.analysis.benchmark.workload import Workload, adamw, made_up_batch, releasing
from bus_toolkit.engine.compile_parts import compile_parts
from bus_toolkit.gpu_battery.arms import BUS, UNPRUNED, Size, model_nodes
from bus_toolkit.models.build import build_model

_WARM_UP, _FEWEST = 3, 3  # steps
_TEXT_LENGTH = 16  # tokens of a caption: what every config takes


@dataclass
class Speed:
    """How fast an arm trains.

    Attributes:
        arm: Its name.
        pixels: Side of the images.
        batch: Images a step.
        compiled: Whether its parts are compiled.
        samples_per_second: Of whole steps: forward, backward, AdamW, momentum and queue; ``None`` without a figure.
        peak_mib: Most memory of a step beyond weights, gradients and moments; ``None`` without a figure.
        problem: Why there are no figures; empty if there are.
    """

    arm: str
    pixels: int
    batch: int
    compiled: bool = False
    samples_per_second: float | None = None
    peak_mib: float | None = None
    problem: str = ""


def measure(size: Size, device: torch.device, *, has_time: Callable[[], bool]) -> Iterator[Speed]:
    """Yield every arm at every side, the unpruned model first; arms for which there is no time are said to be so."""
    for pixels, wanted in size.batches.items():
        nodes = model_nodes(size, pixels)
        batch = wanted
        for name, node in nodes.items():
            for compiled in (False, True) if pixels == size.compiled and name in (BUS, UNPRUNED) else (False,):
                one = Speed(name, pixels, batch, compiled)
                if has_time():
                    _measure(one, node, size, device, may_shrink=name == UNPRUNED and not compiled)
                    batch = one.batch
                else:
                    one.problem = "no time was left"
                yield one


def _measure(one: Speed, node: Mapping[str, Any], size: Size, device: torch.device, *, may_shrink: bool) -> None:
    """Fill in the figures; the batch is halved until it fits, if it may be."""
    while True:
        try:
            _fill_in(one, node, size, device)
            return
        except torch.OutOfMemoryError:
            if not may_shrink or one.batch == 1:
                one.problem = f"out of memory at batch {one.batch}"
                return
        except Exception as error:  # whatever one arm does, the others are still measured
            one.problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            return
        finally:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        one.batch //= 2


def _fill_in(one: Speed, node: Mapping[str, Any], size: Size, device: torch.device) -> None:
    torch.manual_seed(0)
    model: Any = build_model(node).to(device)
    model.set_progress(1.0, 0)
    optimizer = adamw(model)
    load = Workload(
        model,
        "model",
        made_up_batch(model, one.batch, _TEXT_LENGTH),
        autocast=lambda: torch.autocast(device.type, torch.bfloat16),
        optimizer=optimizer,
    )
    if one.compiled:
        compile_parts(model, {})
    step = releasing(load)
    for _ in range(_WARM_UP):
        step()
    # Stays: gradients are there, and only activations come and go.
    one.peak_mib = round(peak_bytes(load.step, device) / 2**20, 1)
    load.model.zero_grad(set_to_none=True)
    steps, watch, end = 0, Stopwatch(device), time.monotonic() + size.seconds
    with watch.running():
        while steps < _FEWEST or time.monotonic() < end:
            step()
            steps += 1
    one.samples_per_second = round(one.batch * steps / watch.seconds, 2)
