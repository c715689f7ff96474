"""Our parts in OpenMMLab's own configs: importing this module registers them, those of installed plugins included.

``custom_imports = dict(imports=['bus_toolkit.openmmlab'], allow_failed_imports=False)`` in a Python config makes
``bus_toolkit.TokenReducedViT`` a backbone, ``bus_toolkit.TextAwareBlipRetrieval`` and its like models, and
``bus_toolkit.KeepRatioScheduleHook`` a hook, whoever runs the config.
"""

from __future__ import annotations

import logging
from importlib import import_module

import bus_toolkit.engine.hooks.model_state
import bus_toolkit.engine.hooks.training_progress  # noqa: F401 (both register hooks)
from bus_toolkit.errors import ComponentError
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.registry import MODELS
from bus_toolkit.registry.openmmlab import mmpretrain_models

_log = logging.getLogger(__name__)
# Module below this package -> classes that are models of mmpretrain's kind.
_MODELS = {
    "blip": ("TextAwareBlipCaption", "TextAwareBlipGrounding", "TextAwareBlipNLVR", "TextAwareBlipVQA"),
    "blip_retrieval": ("TextAwareBlipRetrieval",),
    "language_models": ("TextAwareBlip2Caption", "TextAwareBlip2VQA", "TextAwareMiniGPT4"),
    "decoder": ("XBertLMHeadDecoder",),
}


def register_models() -> None:
    """Register the text-aware versions of mmpretrain's models; where it cannot be imported, all else works without."""
    try:
        mmpretrain_models()
    except ComponentError as error:
        _log.warning("%s", error)
        return
    for module, names in _MODELS.items():
        classes = import_module(f"bus_toolkit.openmmlab.{module}")
        for name in names:
            MODELS.register_module(module=getattr(classes, name), force=True)


load_plugins()
register_models()
