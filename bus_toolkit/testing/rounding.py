"""Where a pass in float64 rounds its numbers to a lower precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bus_toolkit.testing.calling_frame import calling_frame, package_of

_LOWER = (torch.float32, torch.float16, torch.bfloat16)
_REMEDY = (
    "half precision may be cast up, but float64 must stay. Write bus_toolkit.ops.at_least_float32(x) in place of "
    "x.float(), and make new tensors in the dtype of those that they meet"
)


@contextmanager
def refuse_rounding(part: nn.Module) -> Iterator[None]:
    """Let no code of the toolkit, or of the package of ``part``, make a tensor of lower precision from float64.

    What other libraries do inside is theirs (transformers casts some norms to float32); what comes out is checked by
    ``assert_float64``.

    Raises:
        AssertionError: It happened; the message names the line.
    """
    watch = _RoundingWatch((package_of(type(part).__module__), package_of(__name__)))
    with watch:
        yield
    assert not watch.places, f"a float64 tensor becomes {watch.places[0]}: {_REMEDY}"


def assert_float64(results: Sequence[Tensor], names: Sequence[str] = ()) -> None:
    """Refuse results that are of another floating-point type, or not finite."""
    for number, result in enumerate(results):
        name = names[number] if names else f"result {number}"
        assert not result.is_floating_point() or result.dtype == torch.float64, (
            f"{name} is {_short(result.dtype)} in a part in float64: {_REMEDY}"
        )
        assert torch.isfinite(result).all(), f"{name} is not finite in float64"


class _RoundingWatch(TorchDispatchMode):
    """Collect the places at which a float64 tensor goes in and a lower precision comes out, in ``packages``."""

    def __init__(self, packages: Sequence[str]) -> None:
        super().__init__()
        self.packages, self.places = packages, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        lowered = [t.dtype for t in tree_leaves(out) if isinstance(t, Tensor) and t.dtype in _LOWER]
        if lowered and any(isinstance(t, Tensor) and t.dtype == torch.float64 for t in tree_leaves((args, kwargs))):
            frame = calling_frame()
            if frame is not None and package_of(frame.f_globals.get("__name__", "")) in self.packages:
                path, code = Path(frame.f_code.co_filename).name, frame.f_code
                self.places.append(f"{_short(lowered[0])} ({path}:{frame.f_lineno}, in {code.co_name})")
        return out


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
