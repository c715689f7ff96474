"""Settings for ``check-plugin`` from the command line and a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import parse_value, read_yaml
from bus_toolkit.errors import ConfigError


def read_settings(
    words: Sequence[str], file: str | Path | None = None
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return arguments by component, and those for every component that takes them.

    Args:
        words: ``KEY=VALUE`` for all components or ``COMPONENT.KEY=VALUE`` for one; values are YAML. They win over the
            file.
        file: A YAML file with a mapping of arguments for each component.

    Raises:
        ConfigError: A word without ``=``, a value that is not YAML, a file that cannot be read or holds no such
            mappings.
    """
    by_component: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for name, node in (read_yaml(Path(file)) if file is not None else {}).items():
        if not isinstance(node, Mapping):
            raise ConfigError(
                f"{file}: {name} must hold a mapping of arguments, got {node!r}. Write {name}: {{KEY: VALUE}}."
            )
        by_component[name] = dict(node)
    for word in words:
        key, equals, text = word.partition("=")
        component, dot, argument = key.strip().rpartition(".")
        if not equals or not argument:
            raise ConfigError(
                f"--set: must be KEY=VALUE or COMPONENT.KEY=VALUE, got {word!r}. Write e.g. blocks=[1,3]."
            )
        target = by_component.setdefault(component, {}) if dot else shared
        target[argument] = parse_value(text, f"--set {key.strip()}")
    return by_component, shared
