"""Which arguments a constructor passes on in ``**kwargs``: as declared, or read from the source of other projects."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
_ATTRIBUTE = "_bus_forwards"


@dataclass(frozen=True)
class Forwarding:
    """A constructor that hands its ``**kwargs`` on to the next class.

    Attributes:
        names: Arguments of the next class that the call gives by name, so that a user cannot.
        num_positional: How many it gives by position.
        is_declared: Whether this is all that the call gives; a source that is read may hide more.
    """

    names: frozenset[str] = frozenset()
    num_positional: int = 0
    is_declared: bool = False


def forwards_to_super(*fixed: str) -> Callable[[_F], _F]:
    """Declare that an ``__init__`` hands its ``**kwargs`` on to ``super().__init__``.

    A YAML node may then hold the arguments of the base class too, and each of them is checked.

    Args:
        *fixed: Arguments of the base class that the call itself gives, beside those that this ``__init__`` names.
    """

    def declare(function: _F) -> _F:
        setattr(function, _ATTRIBUTE, Forwarding(frozenset(fixed), is_declared=True))
        return function

    return declare


def forwarding_of(function: Callable[..., Any]) -> Forwarding | None:
    """Return how ``function`` hands its ``**kwargs`` on to the next class; ``None`` if it keeps them.

    Ours declare it with :func:`forwards_to_super`. Classes of OpenMMLab and others cannot, so their source is read.
    """
    declared: Forwarding | None = getattr(function, _ATTRIBUTE, None)
    if declared is not None or function.__module__.split(".")[0] == __name__.split(".")[0]:
        return declared
    return _read_source(function)


def _is_super_init(function: ast.expr) -> bool:
    """Return whether an expression is ``super().__init__``, or ``super(Class, self).__init__`` of older code."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "__init__"
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "super"
    )


def _read_source(function: Callable[..., Any]) -> Forwarding | None:
    """Return the arguments of ``super().__init__(..., **kwargs)`` in the source of ``function``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return None
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and _is_super_init(node.func)
            and any(keyword.arg is None for keyword in node.keywords)
        ):
            names = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
            return Forwarding(names, sum(not isinstance(value, ast.Starred) for value in node.args))
    return None
