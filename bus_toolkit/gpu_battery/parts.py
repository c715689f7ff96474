"""The parts that a card is tried on."""

from __future__ import annotations

from typing import Any

from bus_toolkit.gpu_battery.arms import Size
from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.testing import tiny
from bus_toolkit.testing.matrix import part_names

_OF_ARMS = ("TSPS", "EViT", "ToMe", "ELIP", "Random")
_SMALL = {**tiny.SIZES, "blocks": [2], "keep_ratio": 0.5}


def slots_of(size: Size) -> dict[str, list[Any]]:
    """Return slot to nodes of the parts that are compared with the CPU: all that are registered, or those of the arms.

    Backbones are left to the speed measurements but for mmpretrain's own: those of other libraries are not ours.
    """
    if not size.all_parts:
        return {"selectors": [None, *(_node(REGISTRIES.selectors, name) for name in _OF_ARMS)]}
    names = part_names()
    return {
        "selectors": [None, *(_node(REGISTRIES.selectors, name) for name in names["selectors"])],
        "decoder": [_node(REGISTRIES.decoders, name) for name in names["decoder"]],
        "fusion": [_node(REGISTRIES.fusions, name) for name in names["fusion"]],
    }


def _node(registry: PartRegistry, name: str) -> dict[str, Any]:
    takes = registry.get(name).signature.arguments
    return {"type": name, **{key: value for key, value in _SMALL.items() if key in takes}}
