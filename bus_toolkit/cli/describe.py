"""Show what a run would use: a resolved config, the registered parts, the plugins, which parts train together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bus_toolkit.cli.command import Command, add_cfg_options

CONSOLE = Console(highlight=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what there is to show."""
    subjects = parser.add_subparsers(dest="subject", required=True)
    config = subjects.add_parser("config", help="the resolved YAML of a config, checked")
    config.add_argument("config", help="the YAML of a run, or a name such as bus/bus_scenes_tiny")
    add_cfg_options(config, "model.decoder.type=Identity")
    parts = subjects.add_parser("parts", help="every registered part: arguments, contract, origin")
    parts.add_argument("kind", nargs="?", default="", help="only this kind, e.g. selectors or hook")
    plugins = subjects.add_parser("plugins", help="every installed plugin: status, components, traceback")
    matrix = subjects.add_parser("matrix", help="every combination of parts, trained for two tiny steps (a minute)")
    for subject in (config, parts, plugins, matrix):
        subject.add_argument("--debug", action="store_true", help="show tracebacks")


def run(args: argparse.Namespace) -> None:
    """Show what the arguments name."""
    if args.subject == "config":
        show_config(args.config, args.cfg_options)
    elif args.subject == "parts":
        show_parts(args.kind)
    elif args.subject == "plugins":
        show_plugins()
    else:
        show_matrix()


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
    from bus_toolkit.registry import REGISTRIES, RUNNER_REGISTRIES
    from bus_toolkit.signatures import did_you_mean, signature_of

    load_plugins()
    tables = {}
    for parts in REGISTRIES.all():
        title = f"{parts.kind}: model.{parts.slot}\n[dim]{escape(parts.contract)}[/dim]"
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


COMMAND = Command("Show configs, registered parts and plugins.", add_arguments, run)
