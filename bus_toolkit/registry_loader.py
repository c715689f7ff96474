"""What fills the registries before their first look-up: given by the package, so that registries know no plugins."""

from __future__ import annotations

from collections.abc import Callable

_loaders: list[Callable[[], object]] = []


def set_registry_loader(load: Callable[[], object]) -> None:
    """Let ``load`` fill the registries of this process; it must cost nothing when it is called again."""
    _loaders[:] = [load]


def load_registries() -> None:
    """Fill the registries of this process."""
    for load in _loaders:
        load()
