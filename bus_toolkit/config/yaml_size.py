"""Whether a YAML text is small enough to become a config: aliases of aliases let 500 bytes unfold into billions."""

from __future__ import annotations

from typing import Any

import yaml

from bus_toolkit.errors import ConfigError
from bus_toolkit.limits import YAML_BYTES, YAML_DEPTH, YAML_VALUES


def refuse_large_text(text: str, location: str) -> None:
    """Refuse a text that takes seconds to read as a tree.

    Raises:
        ConfigError: It has more bytes than ``YAML_BYTES``.
    """
    most = YAML_BYTES.value
    if len(text) > most // 4 and (size := len(text.encode("utf-8", "surrogatepass"))) > most:
        raise ConfigError(f"{location}: has {size} bytes, allowed are {most}. {YAML_BYTES.advice}")


class TooLarge(yaml.YAMLError):
    """A tree is larger or deeper than a config can be; the message has no location."""


class SizedComposer(yaml.composer.Composer):
    """Makes a tree of a text and stops where it is too large: reading on would take minutes."""

    _num_nodes = _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node with all that is in it.

        Raises:
            TooLarge: There are more nodes than ``YAML_VALUES``, or deeper ones than ``YAML_DEPTH``.
        """
        self._num_nodes += 1
        self._depth += 1
        _check(self._num_nodes, self._depth - 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def refuse_large_tree(node: yaml.Node, location: str) -> None:
    """Refuse a tree that aliases make larger or deeper than a config can be: it is copied and checked many times.

    Raises:
        ConfigError: It exceeds ``YAML_VALUES`` or ``YAML_DEPTH``.
    """
    try:
        _check(*_size(node, {}))
    except TooLarge as error:
        raise ConfigError(f"{location}: {error}") from None


def _check(values: int, depth: int) -> None:
    if depth > YAML_DEPTH.value:
        most = YAML_DEPTH.value
        raise TooLarge(f"has more than {most} mappings and lists inside of each other. {YAML_DEPTH.advice}")
    if values > YAML_VALUES.value:
        raise TooLarge(
            f"holds more than {YAML_VALUES.value} values, those of an alias (*NAME) counted at each of its places. "
            f"{YAML_VALUES.advice}"
        )


def _size(node: yaml.Node, known: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """Return values and depth of ``node``, those of an alias at each place; one inside of itself counts for none."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    if node not in known:
        known[node] = 0, 0
        inner = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        sizes = [_size(part, known) for part in inner]
        known[node] = 1 + sum(values for values, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
    return known[node]
