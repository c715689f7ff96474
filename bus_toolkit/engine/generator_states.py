"""The states of the global generators of random numbers of a process, as tensors and numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device


def generator_states() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's generators, and of the device that this process trains on."""
    version, numbers, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state()
    states = {
        "python": {"version": version, "numbers": torch.tensor(numbers), "gauss": gauss},
        "numpy": {
            "kind": kind,
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "rest": [int(place), int(has_gauss), float(cached)],
        },
        "torch": torch.get_rng_state(),
    }
    device = _device_module()
    return states if device is None else {**states, "device": device.get_rng_state().cpu()}


def set_generator_states(states: Mapping[str, Any]) -> None:
    """Set them; those of a device only where the process has one, too."""
    python, numpy = states["python"], states["numpy"]
    random.setstate((python["version"], tuple(python["numbers"].tolist()), python["gauss"]))
    np.random.set_state((numpy["kind"], numpy["keys"].cpu().numpy().astype(np.uint32), *numpy["rest"]))
    torch.set_rng_state(states["torch"].cpu())
    device = _device_module()
    if device is not None and "device" in states:
        device.set_rng_state(states["device"].cpu())


def _device_module() -> Any:
    """Return torch's module of the device, such as ``torch.cuda``; ``None`` for the CPU and where it has no states."""
    module = getattr(torch, get_device().split(":")[0], None)
    return module if hasattr(module, "get_rng_state") else None
