"""A hook on a layer that knows which layer it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class LayerHook:
    """Call ``hook`` with a layer's number, from 0, and its arguments; a class, so that it can be copied and pickled."""

    def __init__(self, hook: Callable[[int, tuple[Any, ...], dict[str, Any]], Any], number: int) -> None:
        self._hook, self._number = hook, number

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._hook(self._number, args, kwargs)
