"""What ``bus-toolkit describe`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

CONSOLE = Console(highlight=False)


def show_config(path: str, overrides: Sequence[str]) -> None:
    """Print the config as YAML that can be saved and run."""
    from bus_toolkit.config import dump_yaml, load_config
    from bus_toolkit.registry import plain

    print(dump_yaml(plain(load_config(path, overrides).to_dict())), end="")


def show_parts(kind: str) -> None:
    """Print a table for each part kind and one for each kind that MMEngine's Runner builds.

    Raises:
        ComponentError: No such kind.
    """
    from bus_toolkit.errors import ComponentError
    from bus_toolkit.plugin.manager import load_plugins
    from bus_toolkit.registry import ARGUMENTS, REGISTRIES, RUNNER_REGISTRIES
    from bus_toolkit.signatures import did_you_mean, signature_of

    load_plugins()
    tables = {}
    for parts in REGISTRIES.all():
        filled = [f"{name} ({meaning})" for name, meaning in ARGUMENTS.items() if name in parts.provided]
        note = f"\nfilled in where a part takes it: {', '.join(filled)}" if filled else ""
        title = f"{parts.kind}: model.{parts.slot}\n[dim]{escape(parts.contract + note)}[/dim]"
        rows = [(e.name, str(e.signature), e.origin) for e in map(parts.get, parts.names())]
        tables[parts.slot] = _table(title, ("name", "arguments", "registered by"), rows)
    for registry in RUNNER_REGISTRIES:
        members = sorted(registry.module_dict.items())
        rows = [(name, str(signature_of(cls)), cls.__module__) for name, cls in members]
        tables[registry.name] = _table(f"{registry.name} (built by MMEngine)", ("name", "arguments", "module"), rows)
    if kind and kind not in tables:
        raise ComponentError(
            f"kind: no such kind, got {kind!r}.{did_you_mean(kind, tables)} Kinds: {', '.join(tables)}."
        )
    for name, table in tables.items():
        if kind in ("", name) and (table.row_count or kind):
            CONSOLE.print(table)
    if kind in ("", "backbone"):
        CONSOLE.print("model.backbone also takes mmpretrain.<Name>: any plain vision transformer of OpenMMLab.")


def show_plugins() -> None:
    """Print what is known about every plugin; works with every one of them broken."""
    from bus_toolkit.plugin.manager import list_plugins, missing_plugins

    records = list_plugins()
    rows = [(r.name, r.distribution, r.status, ", ".join(r.components) or "-") for r in records]
    CONSOLE.print(_table("plugins", ("name", "distribution", "status", "components"), rows))
    for record in records:
        if record.error:
            CONSOLE.print(f"\n[bold]{escape(record.name)}[/bold] {record.status}:")
            CONSOLE.print(record.error, markup=False, soft_wrap=True)
    for problem in missing_plugins():
        CONSOLE.print(problem, markup=False, soft_wrap=True)


def show_matrix() -> None:
    """Print which parts train together, and why the others do not."""
    from bus_toolkit.testing.matrix import swap_matrix

    cells = list(swap_matrix())
    for slots in dict.fromkeys(tuple(cell.parts) for cell in cells):
        chosen = [cell for cell in cells if tuple(cell.parts) == slots]
        rows = [(*cell.parts.values(), cell.tokens or "-", cell.problem or "trains") for cell in chosen]
        CONSOLE.print(_table(" x ".join(slots), (*slots, "tokens", "two steps"), rows))
    failed = [cell for cell in cells if cell.problem]
    CONSOLE.print(f"{len(cells) - len(failed)} of {len(cells)} combinations train.")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
