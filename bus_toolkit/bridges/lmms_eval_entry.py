"""What makes lmms-eval know the model ``bus_toolkit``: an entry point of its group ``lmms_eval.models``."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Return their ``ModelManifest`` (EvolvingLMMs-Lab/lmms-eval at 75571cf: lmms_eval/models/registry_v2.py)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="bus_toolkit", chat_class_path="bus_toolkit.bridges.lmms_eval.ReducedLMMS")
