"""The ``settings`` of a config: values that are written once and used at several places.

``${settings.NAME}`` as the whole value of a key takes the value of ``settings.NAME``, after all bases and overrides; a
setting may refer to another one:

    settings: {images: photos}
    train_dataloader:
      dataset: {img_dir: "${settings.images}"}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bus_toolkit.errors import Problem
from bus_toolkit.registry import plain
from bus_toolkit.signatures import MOST_HINTS, at, did_you_mean

KEY = "settings"
_REFERENCE = re.compile(r"\$\{settings\.([^}]*)\}")


def fill_in_settings(config: dict[str, Any]) -> list[Problem]:
    """Replace every reference in ``config`` by its value and remove ``settings``; return the mistakes.

    A config without ``settings`` stays as it is: nothing in it refers to anything.
    """
    settings = config.pop(KEY, None)
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        return [
            Problem(KEY, f"must be a mapping of names to values, got {settings!r}. Write {KEY}: {{images: photos}}.")
        ]
    filling = _Filling(settings)
    for key, value in config.items():
        config[key] = filling.fill(value, key)
    return filling.problems + filling.misspelt()


class _Filling:
    """One walk through a config: which names were used, and which mistakes were met."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.values: dict[str, Any] = {}
        self.used: set[str] = set()
        self.problems: list[Problem] = []

    def fill(self, node: Any, path: str, chain: tuple[str, ...] = ()) -> Any:
        """Return ``node`` with values in place of references; ``chain`` are the settings that led to it."""
        if isinstance(node, Mapping):
            return {key: self.fill(value, at(path, key), chain) for key, value in node.items()}
        if isinstance(node, list):
            return [self.fill(value, at(path, index), chain) for index, value in enumerate(node)]
        match = _REFERENCE.search(node) if isinstance(node, str) else None
        if match is None:
            return node
        name = match.group(1)
        self.used.add(name)
        if match.group(0) != node:
            text = f"a reference must be the whole value, got {node!r}. Write {match.group(0)} alone."
            self.problems.append(Problem(path, text))
        elif name not in self.settings:
            known = ", ".join(map(str, self.settings)) or "none"
            hint = did_you_mean(name, self.settings)
            text = f"there is no {KEY}.{name}.{hint} Known settings: {known}. Add it to {KEY}, or write the value here."
            self.problems.append(Problem(path, text))
        elif name in chain:
            way = " -> ".join([*chain[chain.index(name) :], name])
            self.problems.append(Problem(path, f"leads back to itself ({way}). Write a value at one of them."))
        else:
            return plain(self._value(name, chain))
        return node

    def _value(self, name: str, chain: tuple[str, ...]) -> Any:
        if name not in self.values:
            self.values[name] = self.fill(self.settings[name], at(KEY, name), (*chain, name))
        return self.values[name]

    def misspelt(self) -> list[Problem]:
        """Return the settings that nothing uses and whose name is close to a used one.

        One that is merely left over (its user was replaced by another part) is no mistake.
        """
        unused = [name for name in self.settings if name not in self.used]
        hints = {name: did_you_mean(str(name), self.used) for name in unused[:MOST_HINTS]}
        return [Problem(f"{KEY}.{name}", f"nothing uses this setting.{hint}") for name, hint in hints.items() if hint]
