"""A ledger of collectives: how many bytes each holds on this rank, in the order of the calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any
from unittest import mock

import torch.distributed as dist

# By the name of a collective: the functions of torch.distributed for it, and the argument whose bytes count: what a
# rank receives, or what it gives where all receive a sum of it.
_COUNTED = {
    "all_gather": (("all_gather_into_tensor", "all_gather_single"), 0),
    "reduce_scatter": (("reduce_scatter_tensor", "reduce_scatter_single"), 1),
    "all_to_all": (("all_to_all_single",), 0),
    "all_reduce": (("all_reduce",), 0),
    "broadcast": (("broadcast",), 0),
}
_LISTS = ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter")
_OBJECTS = ("all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list")
Ledger = list[tuple[str, int]]


@contextmanager
def counted_collectives() -> Iterator[Ledger]:
    """Write down each collective that Python code calls; one that could not be counted is an error."""
    ledger: Ledger = []
    with mock.patch.multiple(dist, **_wrappers(ledger)):
        yield ledger


def note_gradients(wrapper: Any, ledger: Ledger) -> None:
    """Let a ``DistributedDataParallel`` write down the gradients that it averages, which no Python code does."""

    # torch reads the annotations of a hook, and takes no strings.
    def hook(_, bucket):  # noqa: ANN001, ANN202
        buffer = bucket.buffer()
        ledger.append(("gradients", buffer.nbytes))
        averaged = dist.distributed_c10d._get_default_group().allreduce([buffer / dist.get_world_size()])
        return averaged.get_future().then(lambda future: future.value()[0])

    wrapper.register_comm_hook(None, hook)


def _wrappers(ledger: Ledger) -> dict[str, Any]:
    wrappers = {name: partial(_refused, name) for name in (*_LISTS, *_OBJECTS)}
    for name, (functions, place) in _COUNTED.items():
        for function in functions:
            if hasattr(dist, function):
                wrappers[function] = _counted(name, getattr(dist, function), place, ledger)
    return wrappers


def _counted(name: str, function: Any, place: int, ledger: Ledger) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        ledger.append((name, args[place].nbytes))
        return function(*args, **kwargs)

    return call


def _refused(name: str, *_: Any, **__: Any) -> None:
    raise AssertionError(f"torch.distributed.{name} in a step: its bytes are not counted, and objects stop the device")
