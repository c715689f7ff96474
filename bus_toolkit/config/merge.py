"""Put one config over another: mappings merge, all else is replaced, a new ``type`` keeps only arguments it takes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bus_toolkit.config.nodes import node_at
from bus_toolkit.errors import ComponentError
from bus_toolkit.registry import SCOPE, plain
from bus_toolkit.signatures import at

_log = logging.getLogger(__name__)
DELETE = "_delete_"


def merge_chain(chain: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge mappings from the first (lowest) to the last."""
    merged: dict[str, Any] = {}
    for data in chain:
        merged = merge(merged, data, "", context=_around(merged, data))
    return merged


def merge(old: Any, new: Any, path: str, context: Mapping[str, Any]) -> Any:  # config values
    """Return ``new`` over ``old``; neither is changed and the result shares nothing with them.

    Args:
        old: The present value at ``path``.
        new: The value to write over it. ``_delete_: true`` in a mapping replaces instead of merging.
        path: YAML path of both.
        context: The config around, which decides what is allowed at ``path``.
    """
    if not isinstance(new, Mapping):
        return plain(new)
    wiped = new.get(DELETE) is True
    new = {key: value for key, value in new.items() if key != DELETE}
    if wiped or not isinstance(old, Mapping):
        return {key: merge(None, value, at(path, key), context) for key, value in new.items()}
    if "type" in new and not _same_type(old.get("type"), new["type"]):
        old = swap_type(old, new["type"], path, context)
    result = plain(old)
    for key, value in new.items():
        result[key] = merge(old.get(key), value, at(path, key), context)
    return result


def swap_type(node: Mapping[str, Any], name: object, path: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``node`` with another type and the arguments that it takes; the dropped ones are logged."""
    try:
        spec = node_at(path, {"type": name}, context)
    except ComponentError:
        return {**node, "type": name}  # The check names the unknown type, and nothing else about this node.
    if spec is None:
        return {**node, "type": name}
    kept = {key: value for key, value in node.items() if key in spec.signature.arguments or key in spec.extra}
    dropped = [key for key in node if key not in kept and key != "type"]
    if dropped:
        _log.warning(
            "%s: %s replaces %s and does not take %s: dropped.", path, name, node.get("type"), ", ".join(dropped)
        )
    return {"type": name, **kept}


def _around(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return both together, mapping by mapping: enough to know of which type each node will be."""
    both = {
        key: _around(old[key], new[key])
        for key in old.keys() & new.keys()
        if isinstance(old[key], Mapping) and isinstance(new[key], Mapping)
    }
    return {**old, **new, **both}


def _same_type(old: object, new: object) -> bool:
    return old is None or str(old).removeprefix(f"{SCOPE}.") == str(new).removeprefix(f"{SCOPE}.")
