"""Part of what a linear layer gives, computed alone where nothing but its weight decides it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def part_of_linear(layer: nn.Module, inputs: Tensor, columns: slice) -> Tensor:
    """Return the outputs ``columns`` of a linear layer for inputs (..., D).

    A plain layer computes these alone. Any other module in its place, such as one with low-rank additions, a quantised
    one or one with hooks, is called as a whole: its weight does not say what it gives.

    Args:
        layer: ``nn.Linear``, or a module that replaces one.
        inputs: Its inputs.
        columns: Which of its outputs.
    """
    if not is_plain_linear(layer):
        return layer(inputs)[..., columns]
    assert isinstance(layer, nn.Linear)
    return F.linear(inputs, layer.weight[columns], None if layer.bias is None else layer.bias[columns])


def is_plain_linear(layer: nn.Module) -> bool:
    """Return whether weight and bias alone decide what a module gives."""
    has_hooks = bool(layer._forward_hooks or layer._forward_pre_hooks)
    return type(layer) is nn.Linear and not has_hooks and "forward" not in vars(layer)
