"""How deep a parameter lies, for learning rates that fall with the depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone


def layer_depth(backbone: TokenReducingBackbone, text_encoder: nn.Module, param_name: str) -> tuple[int, int]:
    """Return the depth of a parameter and the number of depths, as mmpretrain's ``get_layer_depth`` does.

    Depth 0 is farthest from the losses. Backbone and text encoder are two towers that end at the same height: their
    last layers lie one below the top, each earlier one a step lower, embeddings below them all. All else (final norms,
    selectors, decoder, fusion, text decoder, heads) is at the top and has the full rate. A backbone with a
    ``get_layer_depth`` of its own decides for itself (mmpretrain's ViT, BEiT, Swin, ConvNeXt; for a ViT it is the same
    rule). Counting from the top is our choice: a text encoder of 6 layers and a backbone of 12 then have equal rates
    next to the fusion.

    Args:
        backbone: The vision tower, ``backbone`` of the model.
        text_encoder: The text tower, ``text_encoder`` of the model.
        param_name: As in ``model.named_parameters()``.
    """
    towers = {
        "backbone.vit.": _Tower(backbone.vit, backbone.adapter.layers),
        "text_encoder.": _Tower(text_encoder, max(_lists(text_encoder), key=len, default=[])),
    }
    top = 1 + max(tower.height() for tower in towers.values())
    for prefix, tower in towers.items():
        if param_name.startswith(prefix):
            return top - tower.steps_below_top(param_name.removeprefix(prefix)), top + 1
    return top, top + 1


def _lists(module: nn.Module) -> list[list[nn.Module]]:
    return [list(child) for child in module.modules() if isinstance(child, nn.ModuleList)]


class _Tower(NamedTuple):
    """A module and the layers in it, from the first to the last; without layers it is at the top as a whole."""

    module: nn.Module
    layers: Sequence[nn.Module]

    def height(self) -> int:
        """Return the number of layers, or of depths between embeddings and top."""
        own = self._own()
        return len(self.layers) if own is None else own(self._names()[0])[1] - 2

    def steps_below_top(self, name: str) -> int:
        """Return 0 after the layers, 1 in the last of them, and one more than there are layers before them."""
        own = self._own()
        if own is not None:
            depth, count = own(name)
            return count - 1 - depth
        if not len(self.layers):
            return 0
        paths = {id(module): f"{path}." if path else "" for path, module in self.module.named_modules()}
        starts = [paths[id(layer)] for layer in self.layers]
        for number, start in enumerate(starts):
            if name.startswith(start):
                return len(starts) - number
        names = self._names()
        first = next(place for place, other in enumerate(names) if other.startswith(starts[0]))
        return len(starts) + 1 if names.index(name) < first else 0

    def _own(self) -> Callable[[str], tuple[int, int]] | None:
        """Return the module's own rule; mmpretrain's ResNet has one for some depths only."""
        own = getattr(self.module, "get_layer_depth", None)
        try:
            return own if own is not None and own(self._names()[0]) else None
        except NotImplementedError:
            return None

    def _names(self) -> list[str]:
        return [name for name, _ in self.module.named_parameters(remove_duplicate=False)]
