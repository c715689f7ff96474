"""The hooks that a plugin may implement; mark an implementation with ``bus_toolkit.hookimpl``.

A plugin is a module named by an entry point of the group ``bus_toolkit``. It implements any of these functions and may
leave out arguments that it does not need. The built-in parts use the same hooks (``bus_toolkit/plugin/builtin.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from bus_toolkit.registry import Registries

GROUP = "bus_toolkit"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def register_components(registries: Registries) -> None:
    """Register parts, e.g. ``registries.selectors.register(MySelector)``.

    What MMEngine's Runner builds (data sets, hooks, metrics) goes into its registries in ``bus_toolkit.registry``.
    """


@hookspec
def config_folders() -> list[Path]:  # type: ignore[empty-body]
    """Return folders of YAML files; ``<plugin name>::<file>`` means one in ``_base_`` and on the command line."""


@hookspec
def adjust_config(config: dict[str, Any]) -> None:
    """Change the merged config in place, before it is checked. Running twice must give what running once gives."""


@hookspec
def runner_hooks(config: dict[str, Any]) -> list[dict[str, Any]]:  # type: ignore[empty-body]
    """Return MMEngine hooks (``{type: ..., ...}``) to add to ``custom_hooks``; equal ones are added once."""
