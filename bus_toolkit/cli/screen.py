"""Where commands print tables."""

from __future__ import annotations

import sys

from rich.console import Console

PIPED_WIDTH = 150


def wide_console() -> Console:
    """Return a console as wide as the terminal; output to a file or a pipe is not cut at 80 columns."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def plain_console() -> Console:
    """Return a console that breaks no line and reads no markup."""
    return Console(highlight=False, soft_wrap=True, markup=False)
