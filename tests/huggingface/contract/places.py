"""Where selectors act in these checks."""

from __future__ import annotations

from typing import Any

from bus_toolkit.huggingface import family_of
from tests.huggingface.parts import ByPlace, ByText
from tests.huggingface.tiny import Tiny


def places(tiny: Tiny) -> list[str]:
    """Return the places of a family: a tower only where its patches are the visual tokens one to one."""
    has_tower = family_of(tiny.model).tower is not None
    return ["inside", "projected", "both", *(["tower"] if has_tower else [])]


def selection(where: str, keep_ratio: float, selector: type = ByText) -> dict[str, Any]:
    """Return arguments of ``reduce_tokens``."""
    inside = [selector(blocks=[2, 3] if where == "both" else [2], keep_ratio=keep_ratio)]
    first = ByPlace(blocks=[1], keep_ratio=keep_ratio)
    return {
        "inside": {"selectors": inside},
        "projected": {"projected": first},
        "both": {"selectors": inside, "projected": first},
        "tower": {"vision": ByPlace(blocks=[1], keep_ratio=keep_ratio)},
    }[where]
