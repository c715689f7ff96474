"""Build, train, measure and extend vision-language models that look at fewer visual tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus_toolkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from bus_toolkit.config import load_config
    from bus_toolkit.inference import Inferencer
    from bus_toolkit.models.build import build_model

__version__ = "0.1.0"
__all__ = ["Inferencer", "__version__", "build_model", "hookimpl", "load_config"]
_LAZY = {
    "Inferencer": "bus_toolkit.inference",
    "build_model": "bus_toolkit.models.build",
    "load_config": "bus_toolkit.config",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a public name when it is first used: ``import bus_toolkit`` alone loads neither torch nor a host."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
