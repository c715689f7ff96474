"""Run the conformance kit on every part of a plugin."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which plugin, and arguments for its parts."""
    parser.add_argument("plugin", help="name of its entry point, or bus_toolkit for the built-in parts")
    parser.add_argument(
        "--set",
        dest="words",
        nargs="+",
        action="extend",
        default=[],
        metavar="[PART.]KEY=VALUE",
        help="arguments of the constructors, for one part or for all that take them; values are YAML",
    )
    parser.add_argument("--settings", metavar="FILE", help="a YAML file with arguments for parts, PART: {KEY: VALUE}")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Check each part, print the result; 1 if a part breaks a promise or could not be checked for want of arguments."""
    load_openmmlab()
    from bus_toolkit.testing.plugin import check_plugin
    from bus_toolkit.testing.settings import read_settings

    failed = 0
    for verdict in check_plugin(args.plugin, *read_settings(args.words, args.settings)):
        skipped = f"not checked: {verdict.skipped}" if verdict.skipped else ""
        print(f"{verdict.component}: {verdict.problem or skipped or 'passes'}")
        failed += bool(verdict.problem)
    return int(failed > 0)


COMMAND = Command("Check every part that a plugin registers.", add_arguments, run)
