"""Promises on a GPU, checked without one: no mix of devices or types, and no wait in a training step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bus_toolkit.testing.fake_gpu import PRECISIONS, FakeGPU, fake_gpu


class _RunCase(Protocol):
    def build(self) -> nn.Module: ...
    def inputs(self) -> dict[str, Tensor]: ...
    def run(self, part: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]: ...


def check_on_gpu(case: _RunCase) -> None:
    """On a GPU it mixes no devices or types, in float32 or bfloat16 autocast, and in training never waits for it."""
    part, inputs = case.build(), case.inputs()
    may_wait = any(getattr(module, "waits_for_device", False) for module in part.modules())
    for name, dtype in PRECISIONS.items():
        with _naming(name), fake_gpu(dtype, may_wait=may_wait, where="training") as gpu:
            gpu.module(part).train()
            with gpu.autocast():
                results = case.run(part, {key: gpu.tensor(value) for key, value in inputs.items()})
            trained = [one.float().square().sum() for one in results if one.requires_grad]
            if trained:
                torch.stack(trained).sum().backward()
        part.zero_grad()
    part.eval()
    with _naming(f"evaluation in {name}"), fake_gpu(dtype, may_wait=True) as gpu, torch.no_grad(), gpu.autocast():
        case.run(gpu.module(part), {key: gpu.tensor(value) for key, value in inputs.items()})


def check_model_on_gpu(model: Any, images: Tensor, samples: Sequence[Any], *, may_wait: bool = False) -> None:
    """Run a training step of a whole model as on a GPU, in float32 and bfloat16 autocast, and an evaluation batch.

    Args:
        model: As ``build_vlp_model`` makes it; its weights are lost.
        images: Normalised, on the CPU.
        samples: Their data samples, on the CPU.
        may_wait: Whether the step may wait for the device, as one that scores texts which it has written does.

    Raises:
        AssertionError: The step waits for the device.
        Exception: Devices or types are mixed; torch's own error, raised where it happens.
    """
    for iteration, (name, dtype) in enumerate(PRECISIONS.items()):
        with _naming(name), fake_gpu(dtype, may_wait=may_wait) as gpu:
            model.set_progress(0.0, iteration)
            train_step(gpu, model, gpu.tensor(images), copy.deepcopy(list(samples)))
    with _naming(f"evaluation in {name}"), fake_gpu(dtype, may_wait=True) as gpu, torch.no_grad(), gpu.autocast():
        gpu.module(model).eval().predict(gpu.tensor(images), copy.deepcopy(list(samples)))


def train_step(gpu: FakeGPU, model: Any, images: Tensor, samples: Sequence[Any]) -> None:
    """Forward, backward, optimizer, and the update of momentum copies and queues."""
    gpu.module(model).train()
    model.zero_grad()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    with gpu.autocast():
        losses = model.loss(images, samples)
    total, _ = model.parse_losses(losses)
    total.backward()
    optimizer.step()
    model.after_step()


@contextmanager
def _naming(precision: str) -> Iterator[None]:
    """Say under which precision something was wrong."""
    try:
        yield
    except AssertionError as error:
        if error.args:
            error.args = (f"{precision}: {error.args[0]}", *error.args[1:])
        raise
