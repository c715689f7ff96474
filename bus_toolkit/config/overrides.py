"""Apply ``a.b.0.c=value`` overrides; a path that leads nowhere is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bus_toolkit.config.merge import merge, swap_type
from bus_toolkit.config.nodes import NAMED_BY_USER, node_at
from bus_toolkit.config.yaml_text import parse_value
from bus_toolkit.errors import ComponentError, ConfigError, Problem
from bus_toolkit.signatures import at, did_you_mean

Overrides = Sequence[str] | Mapping[str, Any]


_SPLIT = "the shell split this value at its spaces, got {} words. Put the whole word in quotes: '{}'."


def parse_overrides(overrides: Overrides) -> list[tuple[str, Any]]:
    """Return (path, value) pairs; values of ``key=value`` words are read as YAML 1.2.

    Raises:
        ConfigError: A word without ``=``, a value that is not YAML, or Python's ``None``.
    """
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    pairs: list[tuple[str, Any]] = []
    problems: list[Problem] = []
    for word, count in _whole_words(overrides):
        key, equals, text = word.partition("=")
        if count > 1:
            problems.append(Problem(f"--cfg-options {key.strip()}", _SPLIT.format(count, word)))
            continue
        if not equals or not key.strip():
            text = f"must be KEY=VALUE, got {word!r}. Write e.g. model.decoder.num_layers=2."
            problems.append(Problem("--cfg-options", text))
            continue
        if text.strip() == "None":
            # Work dirs of this name, and files of it that are missing, come from habits of Python configs.
            advice = "YAML writes null. Write null, or quotes inside those of the shell for the text: KEY='\"None\"'."
            problems.append(Problem(f"--cfg-options {key.strip()}", f"got Python's None; {advice}"))
            continue
        try:
            pairs.append((key.strip(), parse_value(text, f"--cfg-options {key.strip()}")))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return pairs


def _whole_words(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each word with the number of words that it is on the command line: several, if the shell split brackets."""
    first = 0
    while first < len(words):
        text = words[first].partition("=")[2]
        last = _end_of_brackets(words, first) if text[:1] in ("{", "[") else first
        yield " ".join(words[first : last + 1]), last + 1 - first
        first = last + 1


def _end_of_brackets(words: Sequence[str], first: int) -> int:
    """Return the word that closes the brackets that ``words[first]`` opens; itself if none does."""
    depth = 0
    for index in range(first, len(words)):
        depth += sum(words[index].count(mark) for mark in "{[") - sum(words[index].count(mark) for mark in "}]")
        if depth <= 0:
            return index
    return first


def apply_overrides(config: dict[str, Any], pairs: Sequence[tuple[str, Any]]) -> list[Problem]:
    """Write the values into ``config``; return every path that leads nowhere, with the nearest name.

    Outer ones go first, and among those of one depth the types: the order of the words does not matter, and a list or
    mapping that is given whole does not undo what another word says of its entries.
    """
    problems: dict[int, list[Problem]] = {}
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i][0].count("."), not pairs[i][0].endswith(".type")))
    for index in order:
        try:
            _set(config, *pairs[index])
        except ConfigError as error:
            problems[index] = error.problems
    return [problem for index in sorted(problems) for problem in problems[index]]


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    if "" in (*parents, last):
        raise ConfigError(Problem(path, "a name is missing beside a dot. Write names and numbers, as model.heads.itc."))
    node: Any = config
    here = ""
    for key in parents:
        node, here = _enter(node, key, here, path, config), at(here, key)
    if isinstance(node, list):
        index = _index(node, last, here, path)
        node[index] = merge(node[index], value, path, config)
        return
    if not isinstance(node, dict):
        raise ConfigError(
            Problem(path, f"{here} is the value {node!r}, which has no '{last}'. Override {here} itself.")
        )
    if last == "type" and node.get("type") is not None and node["type"] != value:
        changed = swap_type(node, value, here, config)
        node.clear()
        node.update(changed)
        return
    if last not in node:
        _check_new(node, last, here, path, config, is_node=isinstance(value, Mapping))
    node[last] = merge(node.get(last), value, path, config)


def _enter(node: Any, key: str, here: str, path: str, config: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, here, path)]
    if not isinstance(node, dict):
        raise ConfigError(Problem(path, f"{here} is the value {node!r}, which has no '{key}'. Override {here} itself."))
    if node.get(key) is None:
        if key not in node:
            _check_new(node, key, here, path, config, is_node=path == f"{at(here, key)}.type")
        node[key] = {}
    return node[key]


def _index(items: list[Any], key: str, here: str, path: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        text = (
            f"{here} is a list of {len(items)}, got the index '{key}'. Indices count from 0. "
            f"To change its length, override {here} itself, e.g. {here}=[]."
        )
        raise ConfigError(Problem(path, text))
    return int(key)


def _check_new(
    node: dict[str, Any], key: str, here: str, path: str, config: dict[str, Any], *, is_node: bool = False
) -> None:
    """Accept a key that is not written in the config only where it is known to be taken."""
    try:
        spec = node_at(here, node, config)
    except ComponentError:
        return  # The type of this node is wrong, or about to be set; the check judges the whole.
    if is_node and re.fullmatch(NAMED_BY_USER, here):
        return
    names = list(dict.fromkeys([*node, *(spec.names if spec else [])]))
    if spec is not None and spec.takes(key):
        return
    hint = did_you_mean(key, names)
    add = f" To add one, give {at(here, key)}.type too." if re.fullmatch(NAMED_BY_USER, here) else ""
    text = f"{here or 'the config'} has no '{key}'.{hint} It has {', '.join(names) or 'nothing'}.{add}"
    raise ConfigError(Problem(path, text))
