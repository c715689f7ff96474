"""A short text of an object that holds tensors: shapes in place of numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


class ShortRepr:
    """Let a dataclass with ``repr=False`` print tensors as shapes, and leave out what is ``None``."""

    def __repr__(self) -> str:
        """Return it."""
        shown = [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{n}={short(v)}' for n, v in shown if v is not None)})"


def short(value: Any) -> str:
    """Return the shape of a tensor, with its dtype where that is not float32; lists by their length."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{tuple(value.shape)}" if dtype == "float32" else f"{dtype} {tuple(value.shape)}"
    if isinstance(value, list):
        return f"[{len(value)} items]" if len(value) > 3 else f"[{', '.join(map(short, value))}]"
    return repr(value)
