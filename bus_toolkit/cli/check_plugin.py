"""Run the conformance kit on every part of a plugin."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which plugin."""
    parser.add_argument("plugin", help="the name of its entry point, as `bus-toolkit describe plugins` shows it")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Check each part, print the result; 1 if a part breaks a promise."""
    from bus_toolkit.testing.plugin import check_plugin

    failed = 0
    for part, problem in check_plugin(args.plugin):
        print(f"{part}: {problem or 'passes'}")
        failed += bool(problem)
    return int(failed > 0)


COMMAND = Command("Check every part that a plugin registers.", add_arguments, run)
