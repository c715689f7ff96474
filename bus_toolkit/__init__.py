"""Build, train, measure and extend vision-language models that look at fewer visual tokens.

All that a plugin or a script needs is at most one level deep: ``bus_toolkit.load_config``, ``from bus_toolkit.selectors
import PatchSelector``. Modules below the packages may move from one version to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus_toolkit.mmpretrain_shim import watch_for_mmpretrain
from bus_toolkit.plugin.spec import hookimpl
from bus_toolkit.registry_loader import set_registry_loader

if TYPE_CHECKING:
    from bus_toolkit.config import list_configs, load_config
    from bus_toolkit.inference import Inferencer
    from bus_toolkit.models import build_model
    from bus_toolkit.openmmlab.backbone import TokenReducedViT
    from bus_toolkit.pretrained.hub import push_to_hub
    from bus_toolkit.pretrained.loading import from_pretrained

__version__ = "0.2.0"
__all__ = [
    "Inferencer",
    "TokenReducedViT",
    "__version__",
    "build_model",
    "from_pretrained",
    "hookimpl",
    "list_configs",
    "load_config",
    "push_to_hub",
]
_LAZY = {
    "Inferencer": "bus_toolkit.inference",
    "TokenReducedViT": "bus_toolkit.openmmlab.backbone",
    "build_model": "bus_toolkit.models",
    "from_pretrained": "bus_toolkit.pretrained.loading",
    "list_configs": "bus_toolkit.config",
    "load_config": "bus_toolkit.config",
    "push_to_hub": "bus_toolkit.pretrained.hub",
}
_PACKAGES = (
    "backbones",
    "config",
    "data",
    "decoders",
    "engine",
    "errors",
    "evaluation",
    "export",
    "fusion",
    "heads",
    "inference",
    "losses",
    "models",
    "openmmlab",
    "ops",
    "registry",
    "selectors",
    "step",
    "structures",
    "testing",
    "text_decoders",
    "text_encoders",
    "tokenizers",
    "visualization",
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import bus_toolkit`` alone loads neither torch nor OpenMMLab."""
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"bus_toolkit.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """List the public names alone, so that completion in a shell shows what there is to use."""
    return sorted([*__all__, *_PACKAGES])


def _load_plugins() -> None:
    from bus_toolkit.plugin.manager import load_plugins

    load_plugins()


# Whoever imports any module of the package has these: mmpretrain can be imported beside transformers 5, and a look-up
# in a new process knows all parts.
watch_for_mmpretrain()
set_registry_loader(_load_plugins)
