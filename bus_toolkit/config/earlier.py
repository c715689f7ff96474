"""Configs that an earlier version has resolved and written beside its runs: they go on as that version read them."""

from __future__ import annotations

from typing import Any

from bus_toolkit.config.source_rows import rows_without_head
from bus_toolkit.registry import REGISTRIES

# Custom keys of all shipped recipes until the rules of ``paramwise_cfg`` multiplied; they matched anywhere in a name.
_NO_DECAY = ("embedding", "pos_embed", "cls_token", "quer")
_OFF = {"decay_mult": 0.0}


def follow_earlier(config: dict[str, Any]) -> list[str]:
    """Change a config of an earlier version to what it means now; leave any other one alone.

    It is known by the custom keys that all recipes shipped with then.

    Args:
        config: Merged, before overrides.

    Returns:
        What is read in another way, a sentence each; empty if nothing is.
    """
    rules = _below(config, "optim_wrapper", "paramwise_cfg")
    keys = rules.get("custom_keys")
    if not isinstance(keys, dict) or not all(keys.get(name) == _OFF for name in _NO_DECAY):
        return []
    rules["custom_keys"] = {name: value for name, value in keys.items() if name not in _NO_DECAY}
    rules["no_decay"] = [f"*{name}*" for name in _NO_DECAY]
    notes = [f"optim_wrapper.paramwise_cfg: custom_keys {', '.join(_NO_DECAY)} are read as no_decay."]
    sampler = _below(config, "train_dataloader", "batch_sampler")
    heads = _below(config, "model", "heads").values()
    is_known = all(isinstance(node, dict) and node.get("type") in REGISTRIES.heads.names() for node in heads)
    if is_known and heads and rows_without_head(config):
        sampler["region_batch_size"] = 0
        notes.append("train_dataloader.batch_sampler.region_batch_size: is read as 0, since no head reads such rows.")
    return notes


def _below(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return the mapping at these keys; an empty one where there is none, since nothing has been checked yet."""
    for key in keys:
        value = config.get(key)
        config = value if isinstance(value, dict) else {}
    return config
