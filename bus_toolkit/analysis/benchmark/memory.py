"""Peak memory of a piece of work, beyond the memory allocated before it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(run: Callable[[], Any], device: torch.device) -> int:
    """Return the most bytes that tensors made by ``run()`` held at once.

    On CUDA the allocator's own figure, which includes the scratch memory of kernels. Elsewhere every tensor is followed
    from the operation that makes it until it is freed; scratch memory inside an operation is not seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveTensors() as live:
        run()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Adds up the storages that operations return, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            self._follow(tensor, counts=False)  # a tensor that no operation here has made was there before
        out = func(*args, **kwargs)
        for tensor in tree_leaves(out):
            self._follow(tensor, counts=True)
        return out

    def _follow(self, tensor: Any, *, counts: bool) -> None:
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if counts else 0

        def freed(_: object) -> None:
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)
