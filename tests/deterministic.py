"""What a GPU refuses to run under ``torch.use_deterministic_algorithms(True)``, refused on the CPU as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override


class RefusesAsAGpu(TorchDispatchMode):
    """Refuse running sums of fractions, whose order of additions changes on a GPU."""

    @override
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.cumsum.default and args[0].is_floating_point():
            raise RuntimeError("cumsum of fractions has no deterministic algorithm on a GPU")
        run: Callable[..., Any] = func
        return run(*args, **(kwargs or {}))
