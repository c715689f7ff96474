"""Where code waits for a GPU, seen on fake tensors: it runs on the CPU what is there, and notes what would wait.

Tensors on the CPU stay real, so that token ids, boxes and noise have their values; those on the device are fake and
have only a shape, a type and a place. torch's ``FakeTensorMode`` refuses what mixes devices or types. What it accepts,
and this notes, are the operations after which a program on a GPU waits until the device has caught up:

* a number of the device is read (``item``, ``float``, ``if``, ``tolist``);
* the shape of a result depends on values (``nonzero``, a boolean mask as an index, ``unique``);
* a tensor goes from the device to the CPU;
* a tensor goes from the CPU to the device without pinned memory or without ``non_blocking=True``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bus_toolkit.testing.calling_frame import calling_frame

_aten = torch.ops.aten
_SIZED_BY_VALUES = (
    *(_aten.nonzero, _aten.masked_select, _aten._unique, _aten._unique2, _aten.unique_dim, _aten.unique_consecutive),
    *(_aten.bincount, _aten.equal),
)
# Fake tensors take any types there, a real device does not.
_OF_ONE_TYPE = (
    *(_aten.mm, _aten.bmm, _aten.addmm, _aten.baddbmm, _aten.mv, _aten.addmv, _aten.dot, _aten.linear),
    *(_aten.convolution, _aten.scaled_dot_product_attention),
)


class DeviceWatch(TorchDispatchMode):
    """Route operations to the CPU or to the fake device below, and note where one waits.

    Attributes:
        places: What waits and where, in the order of its first time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, None] = {}
        self._pinned: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_gpu = any(isinstance(one, FakeTensor) for one in tensors)
        target = kwargs.get("device")
        if not on_gpu and (target is None or torch.device(target).type == "cpu"):
            return self._on_cpu(func, args, kwargs)
        return self._on_gpu(func.overloadpacket, func, args, kwargs)

    def _on_cpu(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.overloadpacket in (_aten._pin_memory, _aten.is_pinned):  # both ask the driver
            if func.overloadpacket is _aten.is_pinned:
                return args[0].untyped_storage() in self._pinned
            with torch._C._DisableTorchDispatch():
                copied = args[0].clone()
            self._pinned.add(copied.untyped_storage())
            return copied
        with torch._C._DisableTorchDispatch():
            return func(*args, **kwargs)

    def _on_gpu(self, kind: Any, func: Any, args: Any, kwargs: Any) -> Any:
        if kind is _aten._local_scalar_dense:
            self._note("reads a number of the device")
            read = args[0].dtype
            return 0.0 if read.is_floating_point else False if read is torch.bool else 0
        if kind is _aten._to_copy:
            return self._copied(func, args, kwargs)
        if kind in _OF_ONE_TYPE:
            self._check_types(kind, args)
        # A number that is assigned (x[0] = 1.0) comes as a tensor of the CPU here; on a real device it is no copy.
        if kind is _aten.copy_ and not isinstance(args[1], FakeTensor) and args[1].dim():
            self._note_upload(args[1], args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if kind in (_aten.index, _aten.index_put_, _aten.index_put, _aten._index_put_impl_):
            args = (args[0], self._indices(args[0], args[1]), *args[2:])
        elif kind is _aten.repeat_interleave and kwargs.get("output_size") is None:
            self._note("the shape of a result depends on values (repeat_interleave without output_size)")
            kwargs = {**kwargs, "output_size": args[0].numel()}
        elif kind in _SIZED_BY_VALUES:
            return self._sized_by_values(kind, func, args, kwargs)
        return func(*args, **kwargs)

    def _check_types(self, kind: Any, args: Any) -> None:
        tensors = [one for one in tree_leaves(args) if isinstance(one, Tensor) and one.is_floating_point()]
        types = list(dict.fromkeys(str(one.dtype).removeprefix("torch.") for one in tensors))
        if len(types) > 1:
            raise RuntimeError(f"{kind.__name__}: types are mixed: {' and '.join(types)}")

    def _copied(self, func: Any, args: Any, kwargs: Any) -> Any:
        source = args[0]
        target = kwargs.get("device")
        if not isinstance(source, FakeTensor):
            self._note_upload(source, kwargs.get("non_blocking", False))
        elif target is not None and torch.device(target).type == "cpu" and source.device.type != "cpu":
            self._note("copies from the device to the CPU")
            return _made_up(source.shape, kwargs.get("dtype") or source.dtype)
        return func(*args, **kwargs)

    def _note_upload(self, source: Tensor, non_blocking: bool) -> None:
        if source.numel() and not (non_blocking and source.untyped_storage() in self._pinned):
            how = "without non_blocking=True" if not non_blocking else "from memory that is not pinned"
            self._note(f"copies from the CPU to the device {how}")

    def _indices(self, indexed: Tensor, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return indices that are on the device and hold numbers, with made-up places for those of a mask."""
        numbers: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                self._note("the shape of a result depends on values (a boolean mask as an index)")
                numbers += [torch.zeros(index.numel(), dtype=torch.int64, device=indexed.device)] * index.dim()
            elif index is not None and not isinstance(index, FakeTensor) and index.dim():
                self._note("copies an index from the CPU to the device")
                numbers.append(torch.zeros(index.shape, dtype=index.dtype, device=indexed.device))
            else:
                numbers.append(index)
        return numbers

    def _sized_by_values(self, kind: Any, func: Any, args: Any, kwargs: Any) -> Any:
        self._note(f"the shape of a result depends on values ({kind.__name__})")
        made_up: dict[Any, Callable[[], Any]] = {
            _aten.nonzero: lambda: args[0].new_zeros(args[0].numel(), args[0].dim(), dtype=torch.int64),
            _aten.masked_select: lambda: args[0].new_zeros(args[0].numel()),
            _aten.equal: lambda: True,
        }
        return made_up[kind]() if kind in made_up else func(*args, **kwargs)

    def _note(self, what: str) -> None:
        frame = calling_frame()
        place = "" if frame is None else f" ({frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name})"
        self.places.setdefault(f"{what}{place}")


def _made_up(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return real zeros on the CPU, so that what follows a reading can go on."""
    with torch._C._DisableTorchDispatch():
        return torch.zeros(shape, dtype=dtype)
