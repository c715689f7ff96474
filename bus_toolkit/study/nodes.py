"""Checks of the values in a study's YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus_toolkit.errors import ConfigError


def check_keys(node: Any, location: str, allowed: set[str], needed: set[str]) -> None:
    """Refuse a node that is no mapping, or one with unknown or missing keys.

    Raises:
        ConfigError: It is one of these.
    """
    if not isinstance(node, dict):
        raise ConfigError(f"{location}: must be a mapping with {', '.join(sorted(allowed))}, got {node!r}.")
    if set(node) - allowed or needed - set(node):
        needs = f" and needs {', '.join(sorted(needed))}" if needed else ""
        raise ConfigError(
            f"{location}: takes {', '.join(sorted(allowed))}{needs}, got {', '.join(map(str, node)) or 'nothing'}."
        )


def mapping(node: Any, location: str) -> dict[str, Any]:
    """Return a mapping.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(node, dict):
        raise ConfigError(f"{location}: must be a mapping, got {node!r}.")
    return node


def words(node: Any, location: str) -> tuple[str, ...]:
    """Return a list of texts.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(node, list | tuple) or not all(isinstance(word, str) for word in node):
        raise ConfigError(f"{location}: must be a list of texts, got {node!r}.")
    return tuple(node)


def numbers(node: Any, location: str) -> tuple[float, ...]:
    """Return keep ratios.

    Raises:
        ConfigError: One is no number above 0 and below 1, or has more digits than the name of its folder.
    """
    good = isinstance(node, list | tuple) and all(isinstance(one, int | float) and 0 < one < 1 for one in node)
    if not good:
        raise ConfigError(f"{location}: must be a list of numbers between 0 and 1, got {node!r}.")
    if long := [one for one in node if float(f"{one:g}") != one]:
        raise ConfigError(f"{location}: must have six digits at most, got {long[0]}. Round it, e.g. to {long[0]:.4g}.")
    return tuple(float(one) for one in node)


def seeds_of(node: Any, location: str) -> tuple[int, ...]:
    """Return seeds, one at least.

    Raises:
        ConfigError: One is no whole number of 0 or more, or there is none.
    """
    good = isinstance(node, Sequence) and not isinstance(node, str) and len(node) > 0
    if not good or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in node):
        raise ConfigError(f"{location}: must be a list of whole numbers, got {node!r}.")
    return tuple(node)


def whole(node: Any, location: str) -> int | None:
    """Return a whole number of 1 or more, or ``None``.

    Raises:
        ConfigError: It is something else.
    """
    if node is not None and (not isinstance(node, int) or isinstance(node, bool) or node < 1):
        raise ConfigError(f"{location}: must be a whole number of 1 or more, got {node!r}.")
    return node


def number(node: Any, location: str) -> float:
    """Return a number of 0 or more.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(node, int | float) or isinstance(node, bool) or node < 0:
        raise ConfigError(f"{location}: must be a number of 0 or more, got {node!r}.")
    return float(node)


def flag(node: Any, location: str) -> bool:
    """Return true or false.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(node, bool):
        raise ConfigError(f"{location}: must be true or false, got {node!r}.")
    return node
