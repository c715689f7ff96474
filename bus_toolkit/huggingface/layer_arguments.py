"""Arguments of a layer of transformers, for the places of a sequence that are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface.attention_masks import Call, short_mask
from bus_toolkit.huggingface.layout import Layout


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


def without_gaps(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer without positions.

    Layers read them from the rotary tables. FlashAttention of transformers takes positions with gaps for several
    samples packed into one row, and would part them.
    """
    return {**arguments, "position_ids": None} if "position_ids" in arguments else dict(arguments)


def of_attention(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer for its attention alone, which must leave the cache as it is."""
    names = ("hidden_states", "past_key_values", "past_key_value", "cache", "use_cache", "cache_position")
    return {name: value for name, value in arguments.items() if name not in names}


def _tables(value: Any, layout: Layout) -> Any:
    if isinstance(value, Tensor):
        return layout.embeddings(value)
    return tuple(_tables(one, layout) for one in value)
