"""Write a new plugin that installs and passes the conformance kit."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add name, kind and place."""
    from bus_toolkit.plugin.scaffold.kinds import KINDS

    kinds = ", ".join(KINDS)
    parser.add_argument("name", help="its name: of the distribution, the module and the entry point")
    parser.add_argument("--kind", default="selector", metavar="KIND", help=f"one of {kinds} (default: selector)")
    parser.add_argument("--folder", default="plugins", help="where to put it (default: plugins)")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Write it, print the next steps."""
    from bus_toolkit.plugin.scaffold import new_plugin

    folder = new_plugin(args.name, args.kind, args.folder)
    print(f"Wrote {folder}. Next:")
    print(f"  pip install -e {folder}")
    print(f"  bus-toolkit check-plugin {args.name}")
    print(f"  python -m pytest {folder}   (its own tests; needs pip install pytest)")


COMMAND = Command("Write a new plugin that installs and passes check-plugin.", add_arguments, run)
