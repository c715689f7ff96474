"""One kernel for the step of an optimizer, where torch has it for the model's device, in a resumed training too."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

# Each rules it out, or says by itself how the step is computed.
_DECIDED = ("fused", "foreach", "differentiable")


def with_fused_step(node: Any, model: nn.Module) -> Any:
    """Return an ``optim_wrapper`` whose optimizer of torch is fused, where the config leaves that open and it can be.

    Args:
        node: The config of an ``optim_wrapper``, or a built one, which stays as it is.
        model: What is trained, on its device.
    """
    optimizer = node.get("optimizer") if isinstance(node, Mapping) else None
    if not isinstance(optimizer, Mapping) or any(name in optimizer for name in _DECIDED):
        return node
    if not _has_fused_step(optimizer.get("type")) or not _can_be_fused(model):
        return node
    return {**node, "optimizer": {**optimizer, "fused": True}}


def keep_own_step(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer that loads a state go on as it was built, whatever computed the steps of that state.

    torch takes these settings from the checkpoint: a training from before, or from another device, would go on without
    the fused kernel, and one that sets ``fused: false`` with it. An optimizer that was built as fused and no longer is
    refuses ``found_inf``, too.
    """
    optimizer.register_load_state_dict_pre_hook(_with_own_step)


def _with_own_step(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    own, saved = optimizer.param_groups, state["param_groups"]
    if len(own) != len(saved):  # torch says so
        return state
    groups = [
        {**group, **{name: mine[name] for name in _DECIDED if name in mine}}
        for mine, group in zip(own, saved, strict=True)
    ]
    return {**state, "param_groups": groups}


def _has_fused_step(kind: Any) -> bool:
    """Return whether ``kind`` is a class of ``torch.optim``, or the name of one, that takes ``fused``."""
    cls = getattr(torch.optim, kind, None) if isinstance(kind, str) else kind
    if not inspect.isclass(cls) or not cls.__module__.startswith("torch.optim."):
        return False
    return "fused" in inspect.signature(cls).parameters


def _can_be_fused(model: nn.Module) -> bool:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    devices = _get_fused_kernels_supported_devices()
    return all(parameter.is_floating_point() and parameter.device.type in devices for parameter in trained)
