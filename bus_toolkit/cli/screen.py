"""How commands print tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bus_toolkit.console import ScreenConsole

PIPED_WIDTH = 150
console = ScreenConsole(highlight=False)


def wide_console() -> Console:
    """Return a console as wide as the terminal; output to a file or a pipe is not cut at 80 columns."""
    return ScreenConsole(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of text; square brackets in it are no markup, except in the title."""
    shown = Table(title=title, title_justify="left", expand=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown
