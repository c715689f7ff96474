"""The tables that ``bus-toolkit describe`` prints of configs, plugins and combinations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import track

if TYPE_CHECKING:
    from bus_toolkit.testing.matrix import Cell

from bus_toolkit.cli.screen import console, table


def show_config(path: str, overrides: Sequence[str]) -> None:
    """Print the config as YAML that can be saved and run."""
    from bus_toolkit.config import dump_yaml, load_config
    from bus_toolkit.registry import plain

    print(dump_yaml(plain(load_config(path, overrides).to_dict())), end="")


def show_plugins(name: str) -> None:
    """Print the records of all plugins, or of one; works with every one of them broken.

    Raises:
        PluginError: No such plugin.
    """
    from bus_toolkit.errors import PluginError
    from bus_toolkit.plugin.manager import list_plugins, missing_plugins
    from bus_toolkit.signatures import did_you_mean

    records = list_plugins()
    names = [record.name for record in records]
    if name and name not in names:
        raise PluginError(
            f"describe plugins: no such plugin, got {name!r}.{did_you_mean(name, names)} Installed: {', '.join(names)}."
        )
    records = [record for record in records if name in ("", record.name)]
    rows = [(r.name, r.distribution, r.status, ", ".join(r.components) or "-") for r in records]
    console.print(table("plugins", ("name", "distribution", "status", "components"), rows))
    for record in records:
        if record.error:
            console.print(f"\n[bold]{escape(record.name)}[/bold] {record.status}:")
            console.print(record.error, markup=False, soft_wrap=True)
    for problem in () if name else missing_plugins():
        console.print(problem, markup=False, soft_wrap=True)


def show_matrix() -> None:
    """Print which parts train together, and why the others do not; say on standard error how long it takes."""
    from bus_toolkit.testing.matrix import num_combinations, swap_matrix

    total, screen = num_combinations(), Console(stderr=True)
    screen.print(f"Training {total} combinations for two tiny steps each, several a second on a free processor.")
    cells = list(track(swap_matrix(), total=total, console=screen, transient=True))
    for slots in dict.fromkeys(tuple(cell.parts) for cell in cells):
        chosen = [cell for cell in cells if tuple(cell.parts) == slots]
        rows = [(*cell.parts.values(), cell.tokens or "-", "trains") for cell in chosen if not cell.problem]
        rows += [_refused(problem, chosen) for problem in dict.fromkeys(cell.problem for cell in chosen) if problem]
        console.print(table(" x ".join(slots), (*slots, "tokens", "two steps"), rows))
    failed = [cell for cell in cells if cell.problem]
    console.print(f"{len(cells) - len(failed)} of {len(cells)} combinations train.")


def _refused(problem: str, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return one row for all combinations with the same problem: of each slot the part, or how many there are."""
    same = [cell.parts for cell in cells if cell.problem == problem]
    values = [list(dict.fromkeys(parts[slot] for parts in same)) for slot in same[0]]
    return (*(parts[0] if len(parts) == 1 else f"({len(parts)} parts)" for parts in values), "-", problem)
