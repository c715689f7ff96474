"""A training step of a tiny model on a device."""

from __future__ import annotations

import torch

from bus_toolkit.doctor.finding import Finding, fault, ok
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.plugin.manager import load_plugins

_HEADS = ("itc", "itm", "mlm", "ptm")


def check(device: str) -> list[Finding]:
    """Train one step with BUS's selector and losses, in float32 and in bfloat16.

    Args:
        device: Such as ``cpu`` or ``cuda:0``.
    """
    quiet_hosts()
    load_plugins()
    return [_step(device, dtype) for dtype in (torch.float32, torch.bfloat16)]


def _step(device: str, dtype: torch.dtype) -> Finding:
    from bus_toolkit.testing.model import TINY_HEADS, tiny_batch, tiny_model

    model = tiny_model({name: TINY_HEADS[name] for name in _HEADS}).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters())
    images, samples = tiny_batch()
    samples = [sample.to(device) for sample in samples]
    with torch.autocast(torch.device(device).type, dtype, enabled=dtype is not torch.float32):
        losses = model.loss(images.to(device), samples)
        loss = sum(value for name, value in losses.items() if "loss" in name)
    assert isinstance(loss, torch.Tensor), "the heads have losses"
    loss.backward()
    optimizer.step()
    weights = torch.stack([parameter.detach().abs().max() for parameter in model.parameters()])
    value, is_finite = float(loss.detach()), bool(torch.isfinite(weights).all())
    words = f"{device}: a training step in {str(dtype).removeprefix('torch.')}, loss {value:.3f}"
    if not is_finite or value != value:
        return fault(
            words, "It must be finite. Update the driver and PyTorch; if it stays so, report it with this page."
        )
    return ok(words)
