"""Shards of a config that are cut off, and members that belong to no sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.data.shards.remote_shards import fetch_shards
from bus_toolkit.data.shards.shard_paths import find_shards
from bus_toolkit.data.shards.verify_shards import structure_of
from bus_toolkit.data.verify.report import Fault, Report
from bus_toolkit.registry import plain


def without_broken_shards(node: Any, report: Report) -> Any:
    """Return a copy of a config node whose ``ShardDataset`` names readable shards alone; the others are reported.

    Raises:
        DataError: A pattern names no shard.
    """
    if isinstance(node, list | tuple):
        return [without_broken_shards(item, report) for item in node]
    if not isinstance(node, Mapping):
        return plain(node)
    copy = {key: without_broken_shards(value, report) for key, value in node.items()}
    if str(node.get("type")).rsplit(".", 1)[-1] == "ShardDataset" and "shards" in node:
        copy["shards"] = []
        setting = "ShardDataset.shards"
        for path in find_shards(fetch_shards(node["shards"], node.get("cache_dir"), setting), setting):
            index, faults = structure_of(path)
            for fault in faults:
                report.add(Fault("file", fault.path, fault.text))
            for kind, number in (index.passed_over if index is not None else {}).items():
                report.count(f"members passed over: {kind}", number)
            if index is not None:
                copy["shards"].append(str(path))
    return copy
