"""Which head a question to a model needs, and what to say where it is not there."""

from __future__ import annotations

from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.base import VLPHead

# By method: the class of the head, and a config that has it.
NEEDED = {
    "index": ("ITCHead", "bus/bus_scenes_tiny"),
    "retrieve": ("ITCHead", "bus/bus_scenes_tiny"),
    "retrieve(rerank=...)": ("ITMHead", "bus/bus_scenes_tiny"),
    "answer": ("VQAHead", "bus/bus_vqa_scenes_small"),
    "caption": ("CaptionHead", "bus/bus_caption_scenes_tiny"),
    "ground": ("GroundingHead", "bus/bus_grounding_scenes_tiny"),
}


def head_for(model: Any, method: str) -> VLPHead:
    """Return the head that a method of ``Inferencer`` asks; one of a subclass does too.

    Raises:
        ConfigError: The model has none of that class.
    """
    kind, config = NEEDED[method]
    for head in model.heads.values():
        # By name: a head of a plugin, or of a later version, need not be imported to be asked.
        if any(base.__name__ == kind for base in type(head).__mro__):
            return head
    held = ", ".join(f"{name} ({type(head).__name__})" for name, head in model.heads.items())
    raise ConfigError(
        f"Inferencer.{method}: model.heads must hold {kind} for this, got {held}. Name a run that was trained with "
        f"one, such as one of {config}."
    )
