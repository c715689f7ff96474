"""The parts of a vision tower whose patches are the visual tokens one to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.families import Family, part_of


@dataclass(frozen=True)
class TowerParts:
    """A vision tower and its projector.

    Attributes:
        tower: The tower.
        layers: Its layers.
        projector: What brings its patches to the width of the language model.
        num_prefix: P, tokens before the patches.
        last_read: The layer whose output the model reads, from 1.
    """

    tower: Any
    layers: Any
    projector: Any
    num_prefix: int
    last_read: int

    @property
    def width(self) -> int:
        """Return D, the width of the tower."""
        return int(self.tower.config.hidden_size)

    @property
    def implementation(self) -> str:
        """Return the name of its attention function."""
        return str(self.tower.config._attn_implementation)

    @classmethod
    def of(cls, model: Any, family: Family) -> TowerParts:
        """Return the parts of a model.

        Raises:
            ComponentError: Its patches are no visual tokens one to one, or come out of several layers.
        """
        if family.tower is None or family.projector is None:
            raise ComponentError(
                f"reduce_tokens: vision= needs a tower whose patches are the visual tokens one to one, got "
                f"{family.name}, which merges, cuts or arranges them after it. Use projected= or selectors=."
            )
        tower = part_of(model, family.tower)
        kind = tower.config.model_type
        if kind not in ("clip_vision_model", "siglip_vision_model"):
            raise ComponentError(
                f"reduce_tokens: vision= knows towers of CLIP and SigLIP, got {kind}. Use projected= or selectors=."
            )
        inner = getattr(tower, "vision_model", tower)  # transformers 5 has left out a level
        layers, num_prefix = inner.encoder.layers, int(kind == "clip_vision_model")
        strategy = getattr(model.config, "vision_feature_select_strategy", "full")
        if (strategy == "default") != bool(num_prefix):
            raise ComponentError(
                f"reduce_tokens: vision= needs patches alone as visual tokens, got vision_feature_select_strategy "
                f"{strategy!r} with a tower of {num_prefix} class token(s). Use projected= or selectors=."
            )
        read = getattr(model.config, "vision_feature_layer", -1)
        if not isinstance(read, int):
            raise ComponentError(
                f"reduce_tokens: vision= needs patches of one layer, got vision_feature_layer {read}. Use projected= "
                "or selectors=."
            )
        projector = part_of(model, family.projector)
        return cls(tower, layers, projector, num_prefix, read % (len(layers) + 1))
