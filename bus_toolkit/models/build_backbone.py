"""From the ``model.backbone`` part of a config to a backbone and its adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ComponentError, Problem
from bus_toolkit.registry import MMPRETRAIN, REGISTRIES

SIZE_KEY = "img_size"
# Tokens, where mmpretrain would give out one vector an image by default. A config may still ask for that.
_KEEP_TOKENS = {
    "out_type": "raw",
    "gap_before_final_norm": False,
    "gap_before_output": False,
    "reshape_last_feat": True,
}


def build_backbone(node: Mapping[str, Any]) -> tuple[nn.Module, TransformerAdapter]:
    """Build the backbone of a config.

    ``img_size``, in pixels, may also be given to a class that does not take it: then only its adapter reads it.

    Args:
        node: Its YAML node.

    Returns:
        The module, and the adapter that knows it.

    Raises:
        ComponentError: Wrong arguments, or no tokens come out of it.
    """
    name = str(node.get("type", ""))
    signature = REGISTRIES.backbones.get(name, "model.backbone").signature
    size = signature.arguments.get(SIZE_KEY)
    own = dict(node)
    if size is None and not signature.is_open:
        own.pop(SIZE_KEY, None)
    if name.startswith(MMPRETRAIN):
        own = {**{key: value for key, value in _KEEP_TOKENS.items() if key in signature.arguments}, **own}
    with _NumbersOnMeta():
        vit = REGISTRIES.backbones.build(own, path="model.backbone")
    if torch.get_default_device().type == "meta":
        vit.to("meta")  # what came from NumPy is elsewhere
    _check_drop_rates(vit)
    default = None if size is None or size.required else size.default
    return vit, adapter_of(vit, node.get(SIZE_KEY, default))


def _check_drop_rates(vit: nn.Module) -> None:
    """Refuse residual branches that are always dropped: what is left of them is divided by the share that stays.

    Raises:
        ComponentError: A rate outside [0, 1). OpenMMLab's and timm's classes take any number.
    """
    for name, module in vit.named_modules():
        rate = getattr(module, "drop_prob", None)
        if isinstance(rate, float | int) and not 0.0 <= rate < 1.0:
            text = f"the rate of dropped paths must be in [0, 1), got {rate} in {name}. Lower drop_path_rate."
            raise ComponentError(Problem("model.backbone", text))


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
