"""A GPU that is not there: parts run on fake CUDA tensors, and what would stop a real one is found.

On them a part computes nothing, so that a check of a training step takes the time of its Python alone. Seen are mixes
of devices and of types (under autocast too), and where a step waits for the device (``device_watch``). Not seen are
values, speed, memory and kernels of another numerical behaviour: ``bus-toolkit gpu-battery`` measures those on a card.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bus_toolkit.testing.device_watch import DeviceWatch
from bus_toolkit.testing.fake_backward import run_backward

DEVICE = torch.device("cuda:0")
PRECISIONS: Mapping[str, torch.dtype | None] = {"float32": None, "bfloat16 autocast": torch.bfloat16}
_M = TypeVar("_M", bound=nn.Module)
_REMEDY = (
    "Compute with torch.where, or with weights of 0, what depends on a number or a mask there, and copy to it by "
    "bus_toolkit.ops.to_device."
)
_FAKE_LOG = logging.getLogger("torch._subclasses.fake_tensor")


class FakeGPU:
    """What :func:`fake_gpu` yields.

    Attributes:
        dtype: What its autocast casts to; ``None`` for none.
        watch: What notes where code waits.
    """

    def __init__(self, dtype: torch.dtype | None, watch: DeviceWatch) -> None:
        self.dtype, self.watch = dtype, watch

    def module(self, module: _M) -> _M:
        """Move a module's parameters and buffers there, in place; weights that are shared stay so.

        A tensor that is an attribute and no buffer stays on the CPU, as with ``module.to``.
        """
        moved: dict[int, Any] = {}
        for part in module.modules():
            for table in (part._parameters, part._buffers):
                for name, tensor in table.items():
                    if tensor is not None:
                        table[name] = moved.setdefault(id(tensor), _fake(tensor))
        return module

    def tensor(self, tensor: Tensor) -> Tensor:
        """Return a tensor there, as a loader with pinned memory would bring it."""
        return _fake(tensor)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the region of a forward pass."""
        return torch.autocast(DEVICE.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)


@contextmanager
def fake_gpu(
    dtype: torch.dtype | None = None, *, may_wait: bool = False, where: str = "a training step"
) -> Iterator[FakeGPU]:
    """Run code as on a GPU; ``with fake_gpu() as gpu: loss = gpu.module(model).loss(gpu.tensor(images), samples)``.

    Args:
        dtype: Of autocast; ``None`` for none.
        may_wait: Whether it may wait for the device, as an evaluation does to read its figures; the values that it
            reads there are all 0.
        where: What runs there, for the message.

    Raises:
        AssertionError: It waited and may not; the message names the lines.
    """
    watch = DeviceWatch()
    with ExitStack() as stack:
        level = _FAKE_LOG.level
        _FAKE_LOG.setLevel(logging.CRITICAL)  # it logs each refusal with its trace; the error says it as well
        stack.callback(_FAKE_LOG.setLevel, level)
        stack.enter_context(mock.patch("torch.autograd._engine_run_backward", run_backward))
        if not torch.cuda.is_available():  # autocast would switch itself off
            stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
            stack.enter_context(mock.patch("torch.cuda.is_bf16_supported", lambda *args, **kwargs: True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(watch)
        yield FakeGPU(dtype, watch)
    if watch.places and not may_wait:
        raise AssertionError(f"{where} waits for the GPU: it {'; it '.join(watch.places)}. {_REMEDY}")


def _fake(tensor: Tensor) -> Any:
    with torch.no_grad():
        moved = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved.requires_grad_(tensor.requires_grad)
