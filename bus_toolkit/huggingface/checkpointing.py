"""Layers that gradient checkpointing leaves alone.

A selection made again in the backward pass might be another one, and its gradient would be lost where checkpointing is
reentrant. So the layer that a selector reads and the one that it acts before keep their activations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Uncheckpointed:
    """Layers of transformers without gradient checkpointing, from ``begin`` to ``end``.

    Args:
        layers: The layers.
    """

    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers
        self._switched: list[Any] = []

    def begin(self, module: nn.Module) -> None:
        """Switch checkpointing off, where a backward pass through ``module`` may follow."""
        self.end()
        if module.training and torch.is_grad_enabled():
            self._switched = [layer for layer in self._layers if getattr(layer, "gradient_checkpointing", False)]
            for layer in self._switched:
                layer.gradient_checkpointing = False

    def end(self) -> None:
        """Switch it on again."""
        for layer in self._switched:
            layer.gradient_checkpointing = True
        self._switched = []
