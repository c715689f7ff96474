"""What the parts of an arm need, read from its resolved config and the classes that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def properties_of(config: Path) -> dict[str, Any]:
    """Return what a reader must know before choosing an arm.

    Args:
        config: ``config.yaml`` of its run.

    Returns:
        ``selectors`` and ``decoder``, names of its parts; ``needs_text``, whether a selector reads the text;
        ``learns_from_boxes``, whether a selector is trained by boxes; ``boxes_in_training``, whether any head is;
        ``needs_boxes``, whether a selector reads boxes at inference;
        ``merges``, whether tokens are merged rather than dropped; ``blocks``, the first block that has a selector.

    Raises:
        BusError: The config cannot be read, or names a part that is not installed.
    """
    from bus_toolkit.config import load_config
    from bus_toolkit.heads import PatchTextHead
    from bus_toolkit.registry import REGISTRIES, plain
    from bus_toolkit.selectors import MergingSelector

    model = plain(load_config(config).to_dict()["model"])
    nodes = model.get("selectors") or []
    selectors = [REGISTRIES.selectors.get(node["type"], "model.selectors").cls for node in nodes]
    heads = [REGISTRIES.heads.get(node["type"], "model.heads").cls for node in (model.get("heads") or {}).values()]
    has_head = any(isinstance(head, type) and issubclass(head, PatchTextHead) for head in heads)
    trained_by_boxes = has_head or model.get("patch_text") is not None  # of a CausalVLM
    return {
        "selectors": [node["type"] for node in nodes],
        "decoder": (model.get("decoder") or {}).get("type"),
        "needs_text": any(getattr(selector, "needs_text", False) for selector in selectors),
        "learns_from_boxes": trained_by_boxes and any(getattr(s, "supervised", False) for s in selectors),
        "needs_boxes": any(getattr(s, "needs_boxes", False) for s in selectors),
        "boxes_in_training": trained_by_boxes,
        "merges": any(isinstance(s, type) and issubclass(s, MergingSelector) for s in selectors),
        "blocks": min((min(node["blocks"]) for node in nodes if node.get("blocks")), default=None),
    }
