"""The arguments of a registered class: their names, which are required, and the kind of YAML value of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from bus_toolkit.signatures.forwarding import Forwarding, forwarding_of


@dataclass(frozen=True)
class Argument:
    """An argument; ``Any`` as annotation if none can be read, ``inspect.Parameter.empty`` as default if required."""

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    def __str__(self) -> str:
        """Show it as it would be written."""
        return self.name if self.required else f"{self.name}={self.default!r}"


@dataclass(frozen=True)
class Signature:
    """The arguments by name; ``is_open`` means that any other name is accepted too."""

    arguments: Mapping[str, Argument]
    is_open: bool

    def __str__(self) -> str:
        """Show it as it would be written."""
        return f"({', '.join([*map(str, self.arguments.values()), *(['...'] if self.is_open else [])])})"


@cache
def signature_of(target: Callable[..., Any]) -> Signature:
    """Return the arguments of a class or function.

    If an ``__init__`` passes ``**kwargs`` to ``super().__init__``, the arguments of the next class are added, without
    those that the call fixes. Any other ``**kwargs`` leaves the signature open.
    """
    arguments: dict[str, Argument] = {}
    taken: set[str] = set()  # names that a class nearer to the user's has, or gives its base
    handed: Forwarding | None = None
    for function in _constructors(target):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:  # compiled code that does not say
            return Signature(arguments, is_open=True)
        if inspect.isclass(target):
            parameters = parameters[1:]
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if handed is not None:
            taken |= handed.names | {p.name for p in named[: handed.num_positional]}
        for p in named:
            if p.name not in taken and p.kind is not p.POSITIONAL_ONLY:  # which is given by position, never by name
                # A class may fill in what its base requires in ways that its source does not show.
                is_hidden = handed is not None and not handed.is_declared and p.default is p.empty
                arguments[p.name] = Argument(p.name, _annotation(p, function), None if is_hidden else p.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return Signature(arguments, is_open=False)
        handed = forwarding_of(function)
        if handed is None:
            return Signature(arguments, is_open=True)
        taken |= {p.name for p in named}
    return Signature(arguments, is_open=False)


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    if not inspect.isclass(target):
        return [target]
    own = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls) and cls is not object]
    return [function for function in own if inspect.isfunction(function)]


def _annotation(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        # As typing.get_type_hints, but one argument at a time: a name that only type checkers see spoils no other.
        return eval(parameter.annotation, getattr(inspect.unwrap(function), "__globals__", {}))
    except Exception:
        return Any
