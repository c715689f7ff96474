"""List the configs that ship with the toolkit."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a listing takes."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def run(args: argparse.Namespace) -> None:
    """Print their names, one a line."""
    from bus_toolkit.config import list_configs

    print("\n".join(list_configs()))


COMMAND = Command(
    "List the configs that ship with the toolkit, by the names that train and test take.", add_arguments, run
)
