"""Adapters: what the token-reducing host knows about the inside of other libraries' transformers."""

from __future__ import annotations

from typing import Any

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.openmmlab_beit import BEiTAdapter
from bus_toolkit.backbones.adapters.openmmlab_eva02 import EVA02Adapter
from bus_toolkit.backbones.adapters.openmmlab_vit import DeiT3Adapter, DistilledAdapter, VisionTransformerAdapter
from bus_toolkit.errors import ComponentError

# By name of a class or one of its bases, nearest first, so that no library is imported to look.
_BY_CLASS: dict[str, type[TransformerAdapter]] = {
    "ViTEVA02": EVA02Adapter,
    "BEiTViT": BEiTAdapter,
    "DeiT3": DeiT3Adapter,
    "DistilledVisionTransformer": DistilledAdapter,
    "VisionTransformer": VisionTransformerAdapter,
}


def adapter_of(vit: Any) -> TransformerAdapter:
    """Return the adapter for a built backbone.

    A module from elsewhere may bring its own as the method ``token_adapter()``.

    Raises:
        ComponentError: Nobody knows how to take it apart; the message says what it lacks.
    """
    if hasattr(vit, "token_adapter"):
        return vit.token_adapter()
    for cls in type(vit).__mro__:
        if cls.__name__ in _BY_CLASS:
            return _BY_CLASS[cls.__name__](vit)
    missing = VisionTransformerAdapter.missing_parts(vit)
    if missing:
        raise ComponentError(
            f"model.backbone: {type(vit).__name__} has no {', '.join(missing)}. Selectors need a vision transformer "
            "whose tokens pass through every block as one sequence. Use mmpretrain.VisionTransformer."
        )
    return VisionTransformerAdapter(vit)
