"""The backbones of mmpretrain, as ``mmpretrain.<Name>``; nothing is ever imported by a path from a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bus_toolkit.errors import ComponentError, Problem
from bus_toolkit.signatures import did_you_mean

MMPRETRAIN = "mmpretrain."
# Names in papers and other libraries that are spelled too differently for a nearest-name hint.
_OTHER_NAMES = {"vit": "VisionTransformer", "deit": "VisionTransformer", "beit": "BEiTViT", "swint": "SwinTransformer"}


def mmpretrain_models() -> Mapping[str, Callable[..., Any]]:
    """Return the models that mmpretrain registered.

    Raises:
        ComponentError: It cannot be imported.
    """
    try:
        import mmpretrain.models  # noqa: F401 (fills the registry)
        from mmpretrain.registry import MODELS
    except Exception as error:
        text = (
            f"mmpretrain cannot be imported ({type(error).__name__}: {error}). Install the maintained builds: "
            "pip install 'onedl-mmpretrain>=1.3.6' 'transformers>=4.53,<6'"
        )
        raise ComponentError(Problem("model.backbone", text)) from error
    return {f"{MMPRETRAIN}{name}": cls for name, cls in MODELS.module_dict.items()}


def nearest_backbone(name: str, ours: Mapping[str, Any]) -> str:
    """Return the backbone that ``name`` may mean, as ``" Did you mean 'x'?"``, or nothing.

    mmpretrain registers heads, losses and whole algorithms beside them, which are never meant.
    """
    classes = {key.removeprefix(MMPRETRAIN): cls for key, cls in mmpretrain_models().items()}
    backbones = [key for key, cls in classes.items() if cls.__module__.startswith("mmpretrain.models.backbones")]
    asked = name.removeprefix(MMPRETRAIN)
    known = _OTHER_NAMES.get(asked.lower(), asked)
    longer = [key for key in sorted(backbones, key=len) if key.lower().startswith(known.lower())]
    if longer:
        return f" Did you mean '{MMPRETRAIN}{longer[0]}'?"
    return did_you_mean(name, [*ours, *(f"{MMPRETRAIN}{key}" for key in backbones)])
