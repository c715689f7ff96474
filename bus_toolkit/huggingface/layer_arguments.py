"""Arguments of a layer of transformers, for the places of a sequence that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface.layout import Layout


@dataclass(frozen=True)
class Call:
    """What a call of the language model is.

    Attributes:
        num_new: Tokens that are new, after a prefill; 0 in a prefill.
        num_later: All tokens since the prefill, the new ones included.
        flash: Whether attention takes masks (B, keys) alone.
    """

    num_new: int
    num_later: int
    flash: bool


def for_places(arguments: Mapping[str, Any], layout: Layout, call: Call) -> dict[str, Any]:
    """Return the arguments of a layer, made for the whole sequence, for the places of ``layout``."""
    made = dict(arguments)
    if "attention_mask" in made or layout.valid is not None or layout.bias is not None:
        made["attention_mask"] = short_mask(made.get("attention_mask"), layout, call)
    if call.num_new:  # positions of new tokens are their own
        return made
    for name, value in arguments.items():
        if name.startswith("position_embeddings") and value is not None:
            made[name] = _tables(value, layout)
        elif name == "position_ids" and value is not None:
            made[name] = layout.position_ids(value)
        elif name == "cache_position" and value is not None:
            made[name] = torch.arange(layout.places.shape[1], device=value.device)
    return made


def short_mask(mask: Any, layout: Layout, call: Call) -> Any:
    """Return a mask, or one for each kind of layer, for the places of ``layout``."""
    if isinstance(mask, Mapping):
        return {name: short_mask(one, layout, call) for name, one in mask.items()}
    return layout.mask(mask, num_new=call.num_new, num_later=call.num_later, flash=call.flash)


def _tables(value: Any, layout: Layout) -> Any:
    if isinstance(value, Tensor):
        return layout.embeddings(value)
    return tuple(_tables(one, layout) for one in value)
