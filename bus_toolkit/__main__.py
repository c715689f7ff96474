"""The toolkit from the command line, wherever it is installed: ``python -m bus_toolkit COMMAND``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli import configs, describe, test, train
from bus_toolkit.cli.run import run_cli

COMMANDS = {"train": train.COMMAND, "test": test.COMMAND, "describe": describe.COMMAND, "configs": configs.COMMAND}


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parse the command's name and its arguments, run it, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bus_toolkit", description="Train, evaluate and look at models.")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(chosen.add_parser(name, help=command.summary, description=command.summary))
    args = parser.parse_args(argv)
    return COMMANDS[args.command].run(args)


if __name__ == "__main__":
    run_cli(main)
