"""The arms of a study's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.nodes import check_keys, flag, whole, words
from bus_toolkit.study.plan import Arm, Match

_ARM = {"system", "model", "selector", "image", "overrides", "steps", "match", "wrong_text", "oracle"}
_SMALLER = "smaller"


def read_arms(content: Mapping[str, Any], location: str) -> tuple[Arm, ...]:
    """Return the arms; ``systems: {NAME: STEM}`` is a short form of arms that differ by the files of their configs.

    Raises:
        ConfigError: There are none, both forms are given, or one has keys or values that an arm does not take.
    """
    systems, arms = content.get("systems"), content.get("arms")
    if (systems is None) == (arms is None):
        raise ConfigError(f"{location}: needs arms, or systems as a short form of them, got both or neither.")
    key, nodes = ("arms", arms) if systems is None else ("systems", systems)
    if not isinstance(nodes, dict) or not nodes:
        raise ConfigError(f"{location}: {key} must be mappings with at least one entry each, got {nodes!r}.")
    if systems is not None:
        return tuple(Arm(str(name), system=str(stem)) for name, stem in systems.items())
    # An arm that a file based on the study sets to null is left out.
    return tuple(_arm(name, node, f"{location}: arms.{name}") for name, node in nodes.items() if node is not None)


def _arm(name: str, node: Any, location: str) -> Arm:
    check_keys(node, location, _ARM, set())
    model, selector = node.get("model", {}), node.get("selector")
    if not isinstance(model, dict):
        raise ConfigError(f"{location}.model: must be a mapping that is merged into the config's, got {model!r}.")
    if node.get("image") not in (None, _SMALLER):
        raise ConfigError(f"{location}.image: must be {_SMALLER} or be left out, got {node['image']!r}.")
    return Arm(
        name=str(name),
        system=str(node.get("system", "")),
        model=model,
        selectors=_selectors(selector, flag(node.get("oracle", False), f"{location}.oracle"), location),
        overrides=words(node.get("overrides", ()), f"{location}.overrides"),
        steps=whole(node.get("steps"), f"{location}.steps"),
        match=_match(node, location),
        wrong_text=flag(node.get("wrong_text", False), f"{location}.wrong_text"),
    )


def _selectors(node: Any, is_oracle: bool, location: str) -> tuple[Mapping[str, Any], ...] | None:
    nodes = [node] if isinstance(node, dict) else node
    if nodes is None and not is_oracle:
        return None
    if not isinstance(nodes, list) or not all(isinstance(one, dict) and "type" in one for one in nodes):
        raise ConfigError(f"{location}.selector: must be a selector's mapping with a type, or a list, got {node!r}.")
    # What reads the boxes of the question is a ceiling, and is built in studies only.
    return tuple({**one, "in_study": True} if is_oracle else one for one in nodes)


def _match(node: Mapping[str, Any], location: str) -> Match:
    default = Match.IMAGE if "image" in node else Match.KEEP if "selector" in node else Match.NONE
    given = node.get("match", default.value)
    try:
        return Match(given)
    except ValueError:
        names = ", ".join(match.value for match in Match)
        raise ConfigError(f"{location}.match: must be one of {names}, got {given!r}.") from None
