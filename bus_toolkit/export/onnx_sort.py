"""A stable sort in ONNX, which torch's exporter has no form of (torch 2.14, onnxscript 0.7).

The operator TopK of all values is one: of equal values its specification puts the one of the lower index first, by
which every selection here breaks ties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir
import torch
from onnxscript import opset18

# Types that onnxruntime's TopK does not take; marks are sorted in this package, as numbers of 8 bits.
_SMALL = (onnx_ir.DataType.UINT8, onnx_ir.DataType.BOOL)


def stable_sort(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Sequence[Any]:
    """Return sorted values and the places that they had; named as the arguments of torch's operator."""
    size = opset18.Gather(opset18.Shape(self), opset18.Constant(value_ints=[dim]))
    is_small = self.dtype in _SMALL
    values = opset18.Cast(self, to=int(onnx_ir.DataType.INT32)) if is_small else self
    sorted_values, places = opset18.TopK(values, size, axis=dim, largest=int(descending), sorted=1)
    if is_small:
        sorted_values = opset18.Cast(sorted_values, to=int(self.dtype))
    return sorted_values, places


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.sort.stable: stable_sort}
