"""Which head each method of ``Inferencer`` needs, and the error if the model does not have it."""

from __future__ import annotations

from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import (
    CaptionHead,
    ClassificationHead,
    GroundingHead,
    ITCHead,
    ITMHead,
    VLPHead,
    VQAHead,
    find_head,
)

# By method: the class of the head, and a config that has it.
NEEDED: dict[str, tuple[type[VLPHead], str]] = {
    "index": (ITCHead, "bus/bus_scenes_tiny"),
    "retrieve": (ITCHead, "bus/bus_scenes_tiny"),
    "retrieve(rerank=...)": (ITMHead, "bus/bus_scenes_tiny"),
    "classify": (ITCHead, "bus/bus_scenes_tiny"),
    "answer": (VQAHead, "bus/bus_vqa_scenes_small"),
    "label": (ClassificationHead, "needles/full"),
    "caption": (CaptionHead, "bus/bus_caption_scenes_tiny"),
    "ground": (GroundingHead, "bus/bus_grounding_scenes_tiny"),
}


def head_for(model: Any, method: str) -> VLPHead:
    """Return the head that a method of ``Inferencer`` asks; one of a subclass does too.

    Raises:
        ConfigError: The model has none of that class.
    """
    kind, config = NEEDED[method]
    head = find_head(model.heads.values(), kind)
    if head is not None:
        return head
    held = ", ".join(f"{name} ({type(head).__name__})" for name, head in model.heads.items())
    raise ConfigError(
        f"Inferencer.{method}: model.heads must hold {kind.__name__} for this, got {held}. Name a run that was trained "
        f"with one, such as one of {config}."
    )
