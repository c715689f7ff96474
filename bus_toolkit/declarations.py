"""What a class declares about a method of its own."""

from __future__ import annotations

from typing import Any


def declared(owner: object, attribute: str, *methods: str) -> Any | None:
    """Return a class attribute that says something about ``methods``; ``None`` where nothing is said of them.

    A subclass that replaces one of them and does not declare the attribute has declared nothing: what it inherits is
    true of the method that it has replaced.
    """
    for kind in type(owner).__mro__:
        if attribute in vars(kind):
            return getattr(owner, attribute)
        if any(method in vars(kind) for method in methods):
            return None
    return None
