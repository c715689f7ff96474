"""Check everything that a plugin registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bus_toolkit.errors import BusError, PluginError
from bus_toolkit.plugin.manager import list_plugins, load_plugins
from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.testing.backbones import check_backbone
from bus_toolkit.testing.check import ConformanceError
from bus_toolkit.testing.heads import check_head
from bus_toolkit.testing.selectors import check_selector
from bus_toolkit.testing.token_parts import check_decoder, check_fusion


def kits() -> list[tuple[PartRegistry, Any]]:
    """Return the registries that have a kit, each with its check."""
    return [
        (REGISTRIES.selectors, check_selector),
        (REGISTRIES.decoders, check_decoder),
        (REGISTRIES.backbones, check_backbone),
        (REGISTRIES.fusions, check_fusion),
        (REGISTRIES.heads, check_head),
    ]


def check_plugin(name: str) -> Iterator[tuple[str, str]]:
    """Run the kit on every part that the plugin ``name`` registers.

    Yields:
        The part as ``<kind> <name>``, and what is wrong with it, empty if nothing is. Kinds without a kit (tokenizers,
        text encoders and decoders, what the Runner builds) are left out.

    Raises:
        PluginError: It is not installed, fails to load (a misspelt hook, a name that is taken), or registers nothing.
    """
    load_plugins([name])
    record = next(record for record in list_plugins() if record.name == name)
    if not record.components:
        raise PluginError(
            f"'{name}' registers no part. Register them in register_components; plugins/README.md shows how."
        )
    known = {f"{registry.kind} {part}": (check, part) for registry, check in kits() for part in registry.names()}
    for component in record.components:
        if component not in known:
            continue
        check, part = known[component]
        try:
            check(part)
        except (ConformanceError, BusError) as error:
            yield component, str(error)
        else:
            yield component, ""
