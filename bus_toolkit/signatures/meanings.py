"""What the arguments of a class mean, read from docstrings in Google's form."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_ENTRY = re.compile(r"(\w+)(?: \([^)]*\))?: (.*)")


def argument_meanings(target: Callable[..., Any]) -> dict[str, str]:
    """Return argument name -> meaning, as its class says it, or else the nearest base that does.

    Args:
        target: A class or a function.
    """
    meanings: dict[str, str] = {}
    for owner in inspect.getmro(target) if inspect.isclass(target) else (target,):
        # Where a class says nothing of its own, inspect.getdoc would give that of its base.
        documented = [owner, owner.__dict__.get("__init__")] if inspect.isclass(owner) else [owner]
        for text in (getattr(one, "__doc__", None) for one in documented):
            for name, meaning in _arguments_section(inspect.cleandoc(text or "")).items():
                meanings.setdefault(name, meaning)
    return meanings


def _arguments_section(text: str) -> dict[str, str]:
    """Return the entries below ``Args:``; a deeper line goes on with the entry before it."""
    entries: dict[str, str] = {}
    name = ""
    _, _, section = f"\n{text}\n".partition("\nArgs:\n")
    indent = len(section) - len(section.lstrip())
    for line in section.split("\n"):
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth < indent:
            break
        entry = _ENTRY.match(line.strip()) if depth == indent else None
        if entry:
            name = entry[1]
            entries[name] = entry[2]
        elif name and line.strip():
            entries[name] += f" {line.strip()}"
    return entries
