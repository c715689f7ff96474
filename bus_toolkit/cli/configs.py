"""List the configs that ship with the toolkit."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag


def run(args: argparse.Namespace) -> None:
    """Print their names, one a line."""
    from bus_toolkit.shipped import list_configs

    print("\n".join(list_configs()))


COMMAND = Command("List the shipped configs by the names that train and test take.", add_debug_flag, run)
