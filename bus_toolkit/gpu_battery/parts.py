"""The parts that a card is tried on."""

from __future__ import annotations

from typing import Any

from bus_toolkit.gpu_battery.arms import Size
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.matrix import part_names, tiny_node


def slots_of(size: Size) -> dict[str, list[Any]]:
    """Return slot to nodes of the parts that are compared with the CPU: all that are registered, or those of the arms.

    Backbones are left to the speed measurements but for mmpretrain's own: those of other libraries are not ours.
    """
    names = part_names()
    if not size.all_parts:
        names = {"selectors": ["TSPS", *(node["type"] for node in size.selectors.values()), "Random"]}
    registries = {"selectors": REGISTRIES.selectors, "decoder": REGISTRIES.decoders, "fusion": REGISTRIES.fusions}
    nodes: dict[str, list[Any]] = {
        slot: [tiny_node(registry, name) for name in names[slot]]
        for slot, registry in registries.items()
        if slot in names
    }
    return nodes | {"selectors": [None, *nodes["selectors"]]}
