"""From the ``model.backbone`` part of a config to a backbone and its adapter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.registry import MMPRETRAIN, REGISTRIES

SIZE_KEY = "img_size"
# Tokens, where mmpretrain would give out one vector an image unless told otherwise. A config may still say so.
_KEEP_TOKENS = {
    "out_type": "raw",
    "gap_before_final_norm": False,
    "gap_before_output": False,
    "reshape_last_feat": True,
}


def build_backbone(node: Mapping[str, Any]) -> tuple[nn.Module, TransformerAdapter]:
    """Build the backbone of a config.

    ``img_size``, in pixels, may stand beside the arguments of a class that takes none: only its adapter reads it then.

    Args:
        node: Its YAML node.

    Returns:
        The module, and the adapter that knows it.

    Raises:
        ComponentError: Wrong arguments, or no tokens come out of it.
    """
    name = str(node.get("type", ""))
    default = _size_argument(REGISTRIES.backbones.get(name, "model.backbone").cls)
    own = {key: value for key, value in node.items() if key != SIZE_KEY or default is not None}
    preferred = _KEEP_TOKENS if name.startswith(MMPRETRAIN) else {}
    with _NumbersOnMeta():
        vit = REGISTRIES.backbones.build(own, path="model.backbone", **preferred)
    if torch.get_default_device().type == "meta":
        vit.to("meta")  # what came from NumPy is elsewhere
    return vit, adapter_of(vit, node.get(SIZE_KEY, default and default.default))


def _size_argument(target: Callable[..., Any]) -> inspect.Parameter | None:
    """Return the argument ``img_size`` of a function or class, or of the base that a class hands arguments on to."""
    levels = [target]
    if inspect.isclass(target):
        levels = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    for level in levels:
        parameters = inspect.signature(level).parameters
        if SIZE_KEY in parameters:
            return parameters[SIZE_KEY]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return None
    return inspect.Parameter(SIZE_KEY, inspect.Parameter.KEYWORD_ONLY, default=None)  # it may; who knows


class _NumbersOnMeta(TorchFunctionMode):
    """Let constructors read the numbers of ``torch.linspace``, drop path rates, under ``torch.device("meta")`` too."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run ``func``."""
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)
