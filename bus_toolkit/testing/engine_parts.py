"""Build what MMEngine's Runner uses (data sets, metrics, hooks ...) from a class or a registered name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.registry import Registry

from bus_toolkit.errors import ComponentError
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.registry import plain
from bus_toolkit.signatures import check_arguments, did_you_mean, signature_of


class EngineFactory:
    """Build a member of one of our MMEngine registries, or a class that is not registered.

    Args:
        registry: Of its kind.
        part: Its registered name, or its class.
        settings: What the caller sets; unknown ones are refused.
        defaults: Tiny settings, used where the class takes them.
        provided: Names of the arguments that ``build`` gets.

    Raises:
        ComponentError: The name is not registered.
    """

    def __init__(
        self,
        registry: Registry,
        part: str | Callable[..., Any],
        settings: Mapping[str, Any],
        *,
        defaults: Mapping[str, Any] | None = None,
        provided: frozenset[str] = frozenset(),
    ) -> None:
        self.kind, self.provided = registry.name, provided
        self.cls = _registered(registry, part) if isinstance(part, str) else part
        self.name: str = part if isinstance(part, str) else getattr(part, "__name__", str(part))
        self.takes = signature_of(self.cls).arguments
        self.settings = dict(settings)
        self.defaults = {key: value for key, value in (defaults or {}).items() if key in self.takes}

    def build(self, **provided: Any) -> Any:
        """Return a new one.

        Raises:
            ComponentError: It does not take these settings, or needs more.
        """
        signature = signature_of(self.cls)
        filled = self.provided | self.defaults.keys()
        problems = check_arguments(self.name, signature, self.settings, self.kind, provided=filled)
        if problems:
            raise ComponentError(problems)
        return self.cls(**provided, **plain({**self.defaults, **self.settings}))


def _registered(registry: Registry, name: str) -> Callable[..., Any]:
    load_plugins()
    known = registry.module_dict
    if name not in known:
        raise ComponentError(f"{registry.name} registry: no {registry.name} named {name!r}.{did_you_mean(name, known)}")
    return known[name]
