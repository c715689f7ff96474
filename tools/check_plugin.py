"""Run the conformance kit on every part of a plugin: ``python tools/check_plugin.py PLUGIN``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console

from bus_toolkit.cli.run import run_cli

CONSOLE = Console(highlight=False, soft_wrap=True, markup=False)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Check every part that a plugin registers.")
    parser.add_argument("plugin", help="the name of its entry point, as tools/describe.py plugins shows it")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, exit: 1 if a part breaks a promise."""
    args = parse_args(argv)
    from bus_toolkit.testing.plugin import check_plugin

    failed = 0
    for part, problem in check_plugin(args.plugin):
        CONSOLE.print(f"{part}: {problem or 'passes'}")
        failed += bool(problem)
    return int(failed > 0)


if __name__ == "__main__":
    run_cli(main)
