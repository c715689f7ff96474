"""The output of ``bus-toolkit describe parts``: every part in a table, or one part in full."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from rich.markup import escape

from bus_toolkit.cli.screen import console, table


def show_parts(name: str) -> None:
    """Print a table for each part kind and one for each kind that MMEngine's Runner builds.

    Args:
        name: Only this kind; or a part, which is shown with the meaning of its arguments.

    Raises:
        ComponentError: No such kind, and no such part.
    """
    from bus_toolkit.errors import ComponentError
    from bus_toolkit.plugin.manager import load_plugins
    from bus_toolkit.registry import ARGUMENTS, REGISTRIES, RUNNER_REGISTRIES
    from bus_toolkit.signatures import did_you_mean, signature_of

    load_plugins()
    tables = {}
    for parts in REGISTRIES.all():
        filled = [f"{argument} ({meaning})" for argument, meaning in ARGUMENTS.items() if argument in parts.provided]
        note = f"\nfilled in if a part takes it: {', '.join(filled)}" if filled else ""
        title = f"{parts.kind}: model.{parts.slot}\n[dim]{escape(parts.contract + note)}[/dim]"
        rows = [(e.name, str(e.signature), e.origin) for e in map(parts.get, parts.names())]
        tables[parts.slot] = table(title, ("name", "arguments", "registered by"), rows)
    for registry in RUNNER_REGISTRIES:
        members = sorted(registry.module_dict.items())
        rows = [(member, str(signature_of(cls)), cls.__module__) for member, cls in members]
        tables[registry.name] = table(f"{registry.name} (built by MMEngine)", ("name", "arguments", "module"), rows)
    if name and name not in tables:
        known = [*tables, *_part_names()]
        if not _show_part(name):
            raise ComponentError(
                f"describe parts: no kind and no part of this name, got {name!r}.{did_you_mean(name, known)} "
                f"Kinds: {', '.join(tables)}."
            )
        return
    for kind, shown in tables.items():
        if name in ("", kind) and (shown.row_count or name):
            console.print(shown)
    if name in ("", "backbone"):
        console.print("model.backbone also takes mmpretrain.<Name>: any plain vision transformer of OpenMMLab.")


def _part_names() -> list[str]:
    from bus_toolkit.registry import REGISTRIES, RUNNER_REGISTRIES

    ours = [name for parts in REGISTRIES.all() for name in parts.names()]
    return [*ours, *(name for registry in RUNNER_REGISTRIES for name in registry.module_dict)]


def _show_part(name: str) -> bool:
    """Print every part of that name, whatever its kind; return whether there is one."""
    from bus_toolkit.registry import REGISTRIES, RUNNER_REGISTRIES

    ours = [(parts, parts.get(name)) for parts in REGISTRIES.all() if name in parts.names()]
    for parts, entry in ours:
        title = f"{entry.name}: {parts.kind}, in model.{parts.slot}"
        _print_part(title, entry.cls, (f"Contract: {parts.contract}", f"Registered by: {entry.origin}"), parts.provided)
    built = [(registry, registry.module_dict[name]) for registry in RUNNER_REGISTRIES if name in registry.module_dict]
    for registry, cls in built:
        _print_part(f"{name}: {registry.name}, built by MMEngine", cls, (f"Module: {cls.__module__}",), frozenset())
    return bool(ours or built)


def _print_part(title: str, cls: Callable[..., Any], facts: Sequence[str], provided: Collection[str]) -> None:
    """Print the description of a part, and the meaning of each argument."""
    from bus_toolkit.registry import ARGUMENTS
    from bus_toolkit.signatures import argument_meanings, signature_of

    about = (inspect.getdoc(cls) or "").split("\n\nArgs:")[0].split("\n\nAttributes:")[0]
    about = re.sub(r"(?<!\n)\n(?!\n)", " ", about)  # paragraphs of one line, for any width of the terminal
    console.print(f"{title}\n\n{about}\n", markup=False)
    signature, meanings = signature_of(cls), argument_meanings(cls)
    rows = []
    for argument in signature.arguments.values():
        default = "required" if argument.required else repr(argument.default)
        filled = f"filled in: {ARGUMENTS[argument.name]}" if argument.name in provided else default
        rows.append((argument.name, filled, meanings.get(argument.name, "-")))
    console.print(table("", ("argument", "default", "meaning"), rows))
    if signature.is_open:
        console.print("Further arguments are handed on.")
    console.print("\n" + "\n".join(facts), markup=False)
