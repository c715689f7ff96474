"""Losses on a device beside those on the CPU, and whether a training step waits for the device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.ops.to_device import to_device
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


def compare(slots: Mapping[str, Sequence[Any]], device: torch.device) -> Iterator[Agreement]:
    """Yield how tiny models with each of the parts do on a device, in both precisions.

    Args:
        slots: Slot of the model to the nodes that are tried there.
        device: Beside the CPU.
    """
    for slot, nodes in slots.items():
        for node in nodes:
            label = f"{slot} {node['type'] if node else 'none'}"
            parts: dict[str, Any] = {slot: [node] if slot == "selectors" and node else node or []}
            for precision in TOLERANCES:
                one = Agreement(label, precision)
                try:
                    _compare(one, partial(tiny_model, _HEADS, **parts), device, node)
                except Exception as error:  # whatever one part does, the others are still tried
                    one.problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
                yield one


def _compare(one: Agreement, build: Callable[[], Any], device: torch.device, node: Any) -> None:
    dtype = getattr(torch, one.precision)
    wanted = _losses(build(), torch.device("cpu"), torch.float32)
    got = _losses(build().to(device), device, dtype)
    if not all(torch.isfinite(value) for value in got.values()):
        one.problem = "a loss is not finite"
    if not node or node["type"] not in _DRAWS:
        one.difference = max(
            abs(float(got[name]) - float(value)) / max(1.0, abs(float(value))) for name, value in wanted.items()
        )
        if one.difference > TOLERANCES[one.precision]:
            one.problem = f"a loss differs by {one.difference:.2g} (limit {TOLERANCES[one.precision]:g})"
    one.waits = _waits(build().to(device), device, dtype)


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
        waits.append(_place_of(error))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _place_of(error: BaseException) -> str:
    """Return the innermost line of Python that was running."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
