"""Losses on a device beside those on the CPU, and whether a training step waits for the device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.ops.to_device import to_device
from bus_toolkit.testing.check import frame_of
from bus_toolkit.testing.model import TINY_HEADS, tiny_batch, tiny_model

TOLERANCES = {"float32": 1e-2, "bfloat16": 0.1}
"""How far a loss may be from that of the CPU in float32, relative to the larger of it and 1.

Kernels sum in other orders; a score that falls on the other side of another one moves a loss by more than rounding.
"""
_DRAWS = ("Random", "DynamicViT")  # from the device's own generator, whose numbers differ
_HEADS = {name: TINY_HEADS[name] for name in ("itc", "itm", "mlm", "prefix_lm", "ptm")}


@dataclass
class Agreement:
    """How a model with one part did.

    Attributes:
        part: Its slot and name.
        precision: ``float32`` or ``bfloat16``.
        difference: The largest of all losses, relative; ``None`` where the part draws numbers of its own.
        waits: Where a training step waits for the device; empty for nowhere, ``None`` where that is not known.
        problem: Why there is no figure, or what is wrong; empty for nothing.
    """

    part: str
    precision: str
    difference: float | None = None
    waits: str | None = None
    problem: str = ""


def compare(
    slots: Mapping[str, Sequence[Any]], device: torch.device, *, has_time: Callable[[], bool]
) -> Iterator[Agreement]:
    """Yield how tiny models with each of the parts do on a device, in both precisions.

    Args:
        slots: Slot of the model to the nodes that are tried there.
        device: Beside the CPU.
        has_time: Whether there is time for one more; of those for which there is none that is the ``problem``.
    """
    for slot, nodes in slots.items():
        for node in nodes:
            label = f"{slot} {node['type'] if node else 'none'}"
            parts: dict[str, Any] = {slot: [node] if slot == "selectors" and node else node or []}
            build = partial(tiny_model, _HEADS, **parts)
            wanted, draws = cache(partial(_losses_on_cpu, build)), bool(node) and node["type"] in _DRAWS
            for precision in TOLERANCES:
                one = Agreement(label, precision)
                if has_time():
                    try:
                        _compare(one, build, None if draws else wanted(), device)
                    except Exception as error:  # whatever one part does, the others are still tried
                        one.problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
                else:
                    one.problem = "no time was left"
                yield one


def _compare(one: Agreement, build: Callable[[], Any], wanted: dict[str, Tensor] | None, device: torch.device) -> None:
    dtype = getattr(torch, one.precision)
    got = _losses(build().to(device), device, dtype)
    if not all(torch.isfinite(value) for value in got.values()):
        one.problem = "a loss is not finite"
    if wanted is not None:
        one.difference = max(
            abs(float(got[name]) - float(value)) / max(1.0, abs(float(value))) for name, value in wanted.items()
        )
        if one.difference > TOLERANCES[one.precision]:
            one.problem = f"a loss differs by {one.difference:.2g} (limit {TOLERANCES[one.precision]:g})"
    one.waits = _waits(build().to(device), device, dtype)


def _losses_on_cpu(build: Callable[[], Any]) -> dict[str, Tensor]:
    return _losses(build(), torch.device("cpu"), torch.float32)


def _losses(model: Any, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the losses without dropout."""
    images, samples = tiny_batch()
    with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
        losses = model.eval().loss(images.to(device), samples)
    return {name: value for name, value in losses.items() if "loss" in name}


def _waits(model: Any, device: torch.device, dtype: torch.dtype) -> str | None:
    """Train two steps, the second under torch's own watch for waits; return what it says."""
    images, samples = tiny_batch()
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True)
    said: str | None = None
    for step in range(2):
        model.set_progress(0.0, step)
        with _watched(device if step else torch.device("cpu")) as waits:
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                losses = model.loss(to_device(images, device), copy.deepcopy(samples))
            torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
            optimizer.step()
            model.after_step()
        said = waits[0] if waits else None
        optimizer.zero_grad(set_to_none=True)
    return said if device.type != "cuda" else said or ""


@contextmanager
def _watched(device: torch.device) -> Iterator[list[str]]:
    """Yield a list that gets what waited; torch knows of waits on CUDA alone."""
    waits: list[str] = []
    if device.type != "cuda":
        yield waits
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield waits
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        place = frame_of(error)
        waits.append(f"{place.filename}:{place.lineno}")
    finally:
        torch.cuda.set_sync_debug_mode("default")
