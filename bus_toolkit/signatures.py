"""What a registered class takes: argument names, which are required, and of which kind a YAML value must be."""

from __future__ import annotations

import ast
import difflib
import inspect
import numbers
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union


@dataclass(frozen=True)
class Argument:
    """An argument: ``Any`` as annotation where none can be read, ``inspect.Parameter.empty`` as default if required."""

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Signature:
    """The arguments by name; ``is_open`` means that any other name is accepted too."""

    arguments: Mapping[str, Argument]
    is_open: bool

    def __str__(self) -> str:
        """Show it as it would be written."""
        parts = [_show_argument(a) for a in self.arguments.values()] + (["..."] if self.is_open else [])
        return f"({', '.join(parts)})"


@cache
def signature_of(target: Callable[..., Any]) -> Signature:
    """Return the arguments of a class or function.

    ``**kwargs`` that an ``__init__`` hands to ``super().__init__`` stands for the arguments of the next class, without
    those that the call fixes; any other ``**kwargs`` leaves the signature open.
    """
    arguments: dict[str, Argument] = {}
    fixed: set[str] = set()
    for level, function in enumerate(_constructors(target)):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:  # compiled code that does not tell
            return Signature(arguments, is_open=True)
        if inspect.isclass(target):
            parameters = parameters[1:]
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        fixed |= {p.name for p in named[: _num_positional(fixed)]}
        for p in named:
            if p.name not in fixed and p.name not in arguments:
                # A class may fill in what its base requires in ways that cannot be seen here.
                default = None if level and p.default is p.empty else p.default
                arguments[p.name] = Argument(p.name, _annotation(p, function), default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return Signature(arguments, is_open=False)
        handed_on = _super_call(function)
        if handed_on is None:
            return Signature(arguments, is_open=True)
        fixed = handed_on | {p.name for p in named}
    return Signature(arguments, is_open=False)


def check_arguments(
    owner: str,
    signature: Signature,
    values: Mapping[str, Any],
    path: str,
    *,
    provided: Iterable[str] = (),
    partial: bool = False,
) -> list[str]:
    """Return every mistake in ``values``, one sentence each.

    Args:
        owner: Name of the type, for the messages.
        signature: What it takes.
        values: What the YAML gives, without ``type``.
        path: YAML path of the node.
        provided: Arguments that the builder fills in.
        partial: The rest is given at the call: nothing is missing.
    """
    problems = []
    for name, value in values.items():
        argument = signature.arguments.get(name)
        if argument is None:
            if not signature.is_open:
                problems.append(_unknown_argument(owner, name, signature, path))
        elif not fits(argument.annotation, value) and not (value is None and argument.default is None):
            problems.append(f"{at(path, name)}: must be {describe_kind(argument.annotation)}, got {value!r}.")
    given = set(values) | set(provided)
    missing = [] if partial else [a.name for a in signature.arguments.values() if a.required and a.name not in given]
    problems += [f"{at(path, name)}: {owner} needs this argument, got nothing. Add it." for name in missing]
    return problems


def at(path: str, key: str | int) -> str:
    """Return the YAML path of ``key`` below ``path``."""
    return f"{path}.{key}" if path else str(key)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing if no candidate is near."""
    pool = list(candidates)
    near = difflib.get_close_matches(name, pool, n=1, cutoff=0.6)
    if not near:
        folded = {c.lower(): c for c in pool}
        near = [folded[key] for key in difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)]
    return f" Did you mean '{near[0]}'?" if near else ""


def fits(annotation: Any, value: Any) -> bool:  # noqa: ANN401
    """Return whether a YAML value can be meant for ``annotation``; what cannot be judged fits."""
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
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (len(args) < 2 or all(fits(args[1], item) for item in value.values()))
    if kind in _LISTS or issubclass(kind, (Sequence, set, frozenset)):
        is_node = isinstance(value, Mapping) and "type" in value  # to be built; what comes of it is not known here
        return is_node or (isinstance(value, (list, tuple)) and _items_fit(kind, args, value))
    return True


def describe_kind(annotation: Any) -> str:  # noqa: ANN401
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
        return "a mapping"
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


def _items_fit(kind: type, args: tuple[Any, ...], value: Sequence[Any]) -> bool:
    if not args:
        return True
    if kind is tuple and Ellipsis not in args:
        return len(args) == len(value) and all(fits(a, item) for a, item in zip(args, value, strict=True))
    return all(fits(args[0], item) for item in value)


def _unknown_argument(owner: str, name: str, signature: Signature, path: str) -> str:
    hint = did_you_mean(name, signature.arguments)
    takes = ", ".join(signature.arguments) or "no arguments"
    return f"{at(path, name)}: {owner} has no argument '{name}'.{hint} It takes {takes}."


def _show_argument(argument: Argument) -> str:
    return argument.name if argument.required else f"{argument.name}={argument.default!r}"


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    if not inspect.isclass(target):
        return [target]
    own = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls) and cls is not object]
    return [function for function in own if inspect.isfunction(function)]


def _num_positional(fixed: set[str]) -> int:
    return next((int(name[1:]) for name in fixed if name.startswith("#")), 0)


def _super_call(function: Callable[..., Any]) -> set[str] | None:
    """Return what ``super().__init__(..., **kwargs)`` fixes: names, and ``#count`` of positions; None if not called."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return None
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("super().__init__")):
            continue
        if any(k.arg is None for k in node.keywords):
            positional = sum(not isinstance(a, ast.Starred) for a in node.args)
            return {k.arg for k in node.keywords if k.arg} | ({f"#{positional}"} if positional else set())
    return None


def _annotation(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:  # noqa: ANN401
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        # As typing.get_type_hints, but one argument at a time: a name that only type checkers see spoils no other.
        return eval(parameter.annotation, getattr(inspect.unwrap(function), "__globals__", {}))
    except Exception:
        return Any
