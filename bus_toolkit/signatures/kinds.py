"""Of which kind an annotation asks a YAML value to be."""

from __future__ import annotations

import inspect
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union


def fits(annotation: Any, value: Any) -> bool:
    """Return whether a YAML value fits ``annotation``; true if that cannot be decided."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(option, value) for option in _writable(args))
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in args)
    kind = origin or annotation
    if kind in (None, type(None)):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (float, numbers.Number, numbers.Real):
        # NaN is no number that somebody can mean, and no comparison of a constructor would refuse it.
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    if kind is str:
        return isinstance(value, str)
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (len(args) < 2 or all(fits(args[1], item) for item in value.values()))
    if kind in _LISTS or issubclass(kind, (Sequence, set, frozenset)):
        # A node is to be built, into a class that is not known here; but where each item is one, it forgot its list.
        is_node = isinstance(value, Mapping) and "type" in value and not _holds_nodes(args)
        return is_node or (isinstance(value, (list, tuple)) and _items_fit(kind, args, value))
    return True


def describe_kind(annotation: Any) -> str:
    """Say in words what ``annotation`` asks a YAML value to be."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe_kind(option) for option in _writable(args)))
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    kind = origin or annotation
    if kind in _WORDS:
        return _WORDS[kind]
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping" if len(args) < 2 or args[1] is Any else f"a mapping ({describe_kind(args[1])} each)"
    if kind in _LISTS or (inspect.isclass(kind) and issubclass(kind, (Sequence, set, frozenset))):
        items = [a for a in args if a is not Ellipsis]
        return f"a list ({describe_kind(items[0])} each)" if items else "a list"
    return getattr(annotation, "__name__", str(annotation))


_WORDS = {
    None: "null",
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    numbers.Number: "a number",
    numbers.Real: "a number",
    str: "text",
    Any: "anything",
}
_LISTS = (Iterable, typing.Iterable)


def _writable(options: tuple[Any, ...]) -> list[Any]:
    """Leave out tensors, which no YAML value is: torch's learning rate, ``float | Tensor``, takes a number here."""
    named = [(option, getattr(option, "__module__", ""), getattr(option, "__name__", "")) for option in options]
    return [option for option, module, name in named if (module, name) != ("torch", "Tensor")]


def _holds_nodes(args: tuple[Any, ...]) -> bool:
    kind = (typing.get_origin(args[0]) or args[0]) if args else None
    return inspect.isclass(kind) and issubclass(kind, Mapping)


def _items_fit(kind: type, args: tuple[Any, ...], value: Sequence[Any]) -> bool:
    if not args:
        return True
    if kind is tuple and Ellipsis not in args:
        return len(args) == len(value) and all(fits(a, item) for a, item in zip(args, value, strict=True))
    return all(fits(args[0], item) for item in value)
