"""The commands of an installed toolkit, ``python -m bus_toolkit COMMAND``; some are scripts in tools/ as well."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """What a command takes and does.

    Attributes:
        summary: One sentence.
        add_arguments: Adds its arguments to a parser.
        run: Does it; returns the exit code, ``None`` for 0.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]

    def main(self, argv: Sequence[str] | None = None) -> int | None:
        """Parse the words after a script's name, run, return the exit code."""
        parser = argparse.ArgumentParser(description=self.summary)
        self.add_arguments(parser)
        return self.run(parser.parse_args(argv))


def add_cfg_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help=f"overrides, e.g. {example}")


def add_launch_flags(parser: argparse.ArgumentParser) -> None:
    """Add what every command that builds the Runner takes: overrides, launcher, ``--debug``."""
    add_cfg_options(parser, "model.selectors.0.keep_ratio=0.3")
    parser.add_argument(
        "--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="what started the processes"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and all that the hosts log")
