"""Adapters: what the token-reducing backbone knows about the inside of other libraries' transformers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bus_toolkit.backbones.adapters import huggingface_clip, huggingface_vit, timm
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.feature_map import DEFAULT_SIZE, FeatureMapAdapter
from bus_toolkit.backbones.adapters.openmmlab_beit import BEiTAdapter
from bus_toolkit.backbones.adapters.openmmlab_eva02 import EVA02Adapter
from bus_toolkit.backbones.adapters.openmmlab_t2t import T2TAdapter
from bus_toolkit.backbones.adapters.openmmlab_vit import DeiT3Adapter, DistilledAdapter, VisionTransformerAdapter
from bus_toolkit.backbones.adapters.sizes import check_sizes
from bus_toolkit.errors import ComponentError

# By package and name of a class or one of its bases, nearest first, so that no library is imported to look.
_BY_CLASS: dict[tuple[str, str], type[Any]] = {
    ("mmpretrain", "ViTEVA02"): EVA02Adapter,
    ("mmpretrain", "BEiTViT"): BEiTAdapter,
    ("mmpretrain", "DeiT3"): DeiT3Adapter,
    ("mmpretrain", "DistilledVisionTransformer"): DistilledAdapter,
    ("mmpretrain", "VisionTransformer"): VisionTransformerAdapter,
    ("mmpretrain", "T2T_ViT"): T2TAdapter,
    ("mmpretrain", "RevVisionTransformer"): FeatureMapAdapter,  # two streams; its parts have a plain one's names
    ("transformers", "ViTModel"): huggingface_vit.ViTAdapter,
    ("transformers", "Dinov2Model"): huggingface_vit.Dinov2Adapter,
    ("transformers", "Dinov2WithRegistersModel"): huggingface_vit.Dinov2WithRegistersAdapter,
    ("transformers", "CLIPVisionModel"): huggingface_clip.CLIPAdapter,
    ("transformers", "SiglipVisionModel"): huggingface_clip.SiglipAdapter,
    ("timm", "VisionTransformer"): timm.TimmAdapter,
    ("timm", "Eva"): timm.EvaAdapter,
}


def known_classes(package: str) -> list[str]:
    """Return the names of the classes of ``package`` that an adapter knows."""
    return [name for owner, name in _BY_CLASS if owner == package]


def adapter_of(vit: Any, image_size: int | Sequence[int] | None = None) -> TransformerAdapter:
    """Return the adapter for a built backbone.

    A module from elsewhere brings its own by a method ``token_adapter()``, see ``BlocksAdapter``.

    Args:
        vit: The module.
        image_size: Height and width in pixels, or one number for both, where the module does not know them: of a
            backbone that is taken as a whole.

    Raises:
        ComponentError: Nobody knows how to take it apart; the message says what is missing.
    """
    if hasattr(vit, "token_adapter"):
        adapter = vit.token_adapter()
        check_sizes(adapter)
        return adapter
    size = DEFAULT_SIZE if image_size is None else image_size
    kind = type(getattr(vit, "_orig_mod", vit))  # the module inside torch.compile's wrapper
    for cls in kind.__mro__:
        package = cls.__module__.partition(".")[0]
        if (package, cls.__name__) in _BY_CLASS:
            adapter = _BY_CLASS[package, cls.__name__]
            return adapter(vit, size) if adapter is FeatureMapAdapter else _made(adapter, vit, package)
    package = kind.__module__.partition(".")[0]
    known = known_classes(package)
    if package != "mmpretrain" and known:
        raise ComponentError(
            f"model.backbone: no adapter knows the inside of {package}'s classes but {', '.join(known)}, got "
            f"{kind.__name__}. Use one of these, or give the module a method token_adapter() that returns a "
            "bus_toolkit.backbones.BlocksAdapter."
        )
    missing = VisionTransformerAdapter.missing_parts(vit)
    if missing and any(cls.__name__ == "BaseModule" for cls in kind.__mro__):  # OpenMMLab's
        return FeatureMapAdapter(vit, size)
    if missing:
        raise ComponentError(
            f"model.backbone: {type(vit).__name__} is no transformer that is known here, and has no token_adapter(). "
            "Give it one that returns a bus_toolkit.backbones.BlocksAdapter (its docstring has an example), or a "
            "FeatureMapAdapter for a backbone taken as a whole. To pass as mmpretrain.VisionTransformer it would need "
            f"{', '.join(missing)}."
        )
    return VisionTransformerAdapter(vit)


def _made(adapter: Any, vit: Any, package: str) -> TransformerAdapter:
    """Return the adapter, or say that another version of the package builds its class of other parts."""
    try:
        return adapter(vit)
    except AttributeError as error:
        version = getattr(sys.modules.get(package), "__version__", "")
        raise ComponentError(
            f"model.backbone: {package} {version} builds a {type(vit).__name__} of other parts than the adapter knows "
            f"({error}). The adapter is tested with {adapter.tested_with}. Install one of these, or give the module a "
            "method token_adapter() that returns a bus_toolkit.backbones.BlocksAdapter."
        ) from error
