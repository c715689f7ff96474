"""Build, train, measure and extend vision-language models that look at fewer visual tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus_toolkit.plugin.spec import hookimpl

if TYPE_CHECKING:
    from bus_toolkit.config import list_configs, load_config
    from bus_toolkit.inference import Inferencer
    from bus_toolkit.models.build import build_model
    from bus_toolkit.openmmlab.backbone import TokenReducedViT

__version__ = "0.1.0"
__all__ = ["Inferencer", "TokenReducedViT", "__version__", "build_model", "hookimpl", "list_configs", "load_config"]
_LAZY = {
    "Inferencer": "bus_toolkit.inference",
    "TokenReducedViT": "bus_toolkit.openmmlab.backbone",
    "build_model": "bus_toolkit.models.build",
    "list_configs": "bus_toolkit.config",
    "load_config": "bus_toolkit.config",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a public name when it is first used: ``import bus_toolkit`` alone loads neither torch nor a host."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
