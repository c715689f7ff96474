"""What a model can be asked, and what a notebook shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.inference.answers import answering_head, class_answers
from bus_toolkit.inference.heads import NEEDED, head_for
from bus_toolkit.inference.pipeline import ImagePipeline


def abilities_of(model: Any, cfg: Mapping[str, Any], pipeline: ImagePipeline) -> tuple[str, ...]:
    """Return the methods of ``Inferencer`` that this model has a head for, beside ``explain``."""
    return tuple(method for method in NEEDED if _can(method, model, cfg, pipeline))


def facts_of(model: Any) -> dict[str, str]:
    """Return the heads, selectors, image size, parameters and device of a model, as words by their names."""
    height, width = model.backbone.image_size
    return {
        "heads": ", ".join(model.heads),
        "selectors": ", ".join(map(repr, getattr(model.backbone, "selectors", ()))) or "none",
        "images": f"{height} x {width} px",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "device": str(next(model.parameters()).device),
    }


def _can(method: str, model: Any, cfg: Mapping[str, Any], pipeline: ImagePipeline) -> bool:
    try:
        if method == "answer":
            class_answers(cfg, answering_head(model, cfg))
        else:
            head_for(model, method)
        if method == "ground":
            pipeline.check_boxes()
    except ConfigError:
        return False
    return True
