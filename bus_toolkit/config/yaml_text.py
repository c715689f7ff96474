"""YAML text to plain data and back: the core schema of YAML 1.2, safe tags only, every key once.

PyYAML follows YAML 1.1, where ``1e-4`` is text, ``no`` is false and ``12:30:00`` is 45000; MMEngine's loader runs
Python that a tag names. Here only null, booleans, numbers, text, lists and mappings exist.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bus_toolkit.config.yaml_size import SizedComposer, TooLarge, refuse_large_text, refuse_large_tree
from bus_toolkit.errors import ConfigError

_CORE = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
_VARIABLE = re.compile(r"\$(\$\{)|\$\{(\w+)(?::-([^}]*))?\}|\$\{(?!settings\.)[^}]*\}?")
# Of a whole number, far above the 19 of 64 bits: one with 400 fits no float, and ends what counts with it.
_MOST_DIGITS = 40
# What to do about a character that YAML stumbles over.
_ADVICE = {
    "\t": "Indent with spaces, not with tabs",
    "\\": "In double quotes write two backslashes for one, or use single quotes",
    **dict.fromkeys(":@`%*!|>", "Put text with such characters in quotes"),
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: No such file, not YAML, a refused tag, a key given twice, or no mapping of names.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason}). Give the path of a YAML file.") from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, location: str) -> dict[str, Any]:
    """Return the mapping that ``text`` is in YAML; errors start with ``location``.

    Raises:
        ConfigError: As :func:`read_yaml`.
    """
    data = _load(text, location)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{location}: must hold a mapping, got {type(data).__name__}. Write `key: value` lines.")
    return data


def parse_value(text: str, location: str) -> Any:  # any YAML value
    """Return ``text`` read as YAML 1.2, e.g. a command-line override; errors start with ``location``.

    Raises:
        ConfigError: Not YAML, or with a comment: what comes after a ``#`` would be lost unseen.
    """
    value = _load(text, location)
    comment = _comment_of(text)
    if comment:
        raise ConfigError(
            f"{location}: YAML reads {comment!r} as a comment, got {text!r}. Put quotes inside those of the shell, "
            """such as KEY='"run #3"', or leave the comment out."""
        )
    return value


def dump_yaml(data: dict[str, Any]) -> str:
    """Return YAML text that loads again to equal data."""
    return yaml.dump(data, Dumper=_CoreDumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)


class _CoreLoader(SizedComposer, yaml.SafeLoader):
    """PyYAML's safe loader with the tags and numbers of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def core_mapping(self, node: yaml.Node) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        own = [key for key, _ in node.value if key.tag != _CORE + "merge"]
        names: set[Any] = set()
        for mark, key in ((key.start_mark, self.construct_object(key, deep=True)) for key in own):
            if not isinstance(key, str) or not key:
                quoted = f". Write it in quotes: '{key}'" if isinstance(key, int | float) else ""
                raise yaml.constructor.ConstructorError(None, None, f"a key must be text, got {key!r}{quoted}", mark)
            if key in names:
                problem = f"the key '{key}' is given twice. Remove one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, mark)
            names.add(key)
        pairs = _merged_pairs(node)
        return {self.construct_object(k, deep=True): self.construct_object(v, deep=True) for k, v in pairs}

    def core_list(self, node: yaml.Node) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a list", node.start_mark)
        return [self.construct_object(item, deep=True) for item in node.value]

    def core_text(self, node: yaml.ScalarNode) -> Hashable:
        text = _expand(str(self.construct_scalar(node)), node)
        if node.style is None and text != node.value:
            tag = self.resolve(yaml.ScalarNode, text, (True, False))
            if tag != _CORE + "str":
                return self.construct_object(yaml.ScalarNode(tag, text, node.start_mark, node.end_mark))
        return text

    def core_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        if len(text) > _MOST_DIGITS:
            problem = f"a number has at most {_MOST_DIGITS} digits, got {len(text)}. Write text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)

    def core_float(self, node: yaml.ScalarNode) -> float:
        return float(re.sub(r"\.(inf|nan)", r"\1", str(self.construct_scalar(node)).lower()))

    def refuse(self, node: yaml.Node) -> None:
        tag = node.tag.replace(_CORE, "!!")
        raise yaml.constructor.ConstructorError(
            None, None, f"the tag {tag} is refused: a config holds data, never code. Remove it", node.start_mark
        )


class _CoreDumper(yaml.SafeDumper):
    """PyYAML's safe dumper without anchors; text that any YAML version could read as something else gets quotes."""

    yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeDumper.yaml_implicit_resolvers.items()}

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def _represent_text(dumper: _CoreDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_CORE + "str", text.replace("${", "$${"))


def _load(text: str, location: str) -> Any:
    refuse_large_text(text, location)
    try:
        node = _compose(text)
        if node is None:
            return None
        refuse_large_tree(node, location)
        return _CoreLoader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f"{location}:{mark.line + 1}:{mark.column + 1}" if mark else location
        parts = (error.context, error.problem) if isinstance(error, yaml.composer.ComposerError) else (error.problem,)
        problem = ", ".join(filter(None, parts)) or error.context
        is_syntax = isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError)
        raise ConfigError(f"{position}: {problem}.{_advice(mark) if is_syntax else ''}") from error
    except yaml.reader.ReaderError as error:
        text = f"a config holds no such character, got {chr(error.character)!a} at position {error.position}"
        raise ConfigError(f"{location}: {text}. Remove it; use a UTF-8 locale, such as LC_ALL=C.UTF-8.") from error
    except TooLarge as error:
        raise ConfigError(f"{location}: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{location}: not a valid YAML value ({error}).") from error


@lru_cache(maxsize=256)
def _compose(text: str) -> yaml.Node | None:
    """Return the tree of a text.

    Reading text as a tree takes most of the time of loading a config, and the same bases and overrides come again and
    again. The data made of a tree are new each time.
    """
    return _CoreLoader(text).get_single_node()


def _merged_pairs(node: yaml.MappingNode, outer: tuple[yaml.Node, ...] = ()) -> list[tuple[yaml.Node, yaml.Node]]:
    """Return the keys and values of a mapping, those that it merges (``<<``) first; PyYAML would change the tree."""
    own = [(key, value) for key, value in node.value if key.tag != _CORE + "merge"]
    merged: list[tuple[yaml.Node, yaml.Node]] = []
    for value in (value for key, value in node.value if key.tag == _CORE + "merge"):
        # The first of a list of mappings wins.
        for mapping in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(mapping, yaml.MappingNode):
                problem = f"expected a mapping for merging, but found {mapping.id}"
                raise yaml.constructor.ConstructorError(None, None, problem, mapping.start_mark)
            if mapping in (node, *outer):
                problem = "a mapping merges itself. Take this << out"
                raise yaml.constructor.ConstructorError(None, None, problem, value.start_mark)
            merged += _merged_pairs(mapping, (node, *outer))
    return [*merged, *own]


@lru_cache(maxsize=256)
def _comment_of(text: str) -> str:
    """Return what is left of a text after its last token."""
    ends = [token.end_mark.index for token in yaml.scan(text) if token.start_mark.index < token.end_mark.index]
    return text[max(ends, default=0) :].strip()


def _advice(mark: yaml.Mark | None) -> str:
    """Return what to do about the character at ``mark`` or the one before it, if that is known."""
    if mark is None or mark.buffer is None:
        return ""
    near = mark.buffer[max(mark.pointer - 1, 0) : mark.pointer + 1]
    return next((f" {advice}." for character, advice in _ADVICE.items() if character in near), "")


def _expand(text: str, node: yaml.Node) -> str:
    def value(match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return escaped
        if name is None:
            problem = (
                f"'{match.group()}' refers to nothing. Write ${{VARIABLE}} or ${{VARIABLE:-default}} for the "
                "environment, ${settings.NAME} for a setting, or $${ for the text ${"
            )
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        variable = os.environ.get(name, default)
        if variable is None:
            problem = f"the environment has no variable {name}; set it or write ${{{name}:-default}}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return variable

    return _VARIABLE.sub(value, text)


for _name, _pattern, _first in _RESOLVERS:
    _CoreLoader.add_implicit_resolver(_CORE + _name, re.compile(rf"^(?:{_pattern})$"), _first)
    _CoreDumper.add_implicit_resolver(_CORE + _name, re.compile(rf"^(?:{_pattern})$"), _first)
_CoreLoader.yaml_constructors = {
    _CORE + "null": yaml.SafeLoader.construct_yaml_null,
    _CORE + "bool": yaml.SafeLoader.construct_yaml_bool,
    _CORE + "int": _CoreLoader.core_int,
    _CORE + "float": _CoreLoader.core_float,
    _CORE + "str": _CoreLoader.core_text,
    _CORE + "seq": _CoreLoader.core_list,
    _CORE + "map": _CoreLoader.core_mapping,
    None: _CoreLoader.refuse,
}
_CoreDumper.add_representer(str, _represent_text)
_CoreDumper.add_representer(tuple, yaml.SafeDumper.represent_list)
