"""The pieces of each ``bus-toolkit`` command, and the arguments that several commands share."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from typing_extensions import override

MAX_WIDTH = 100
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose help is at most ``MAX_WIDTH`` columns wide; its sub-commands are such parsers too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_help_formatter, **kwargs)
        self._words: list[str] = []

    @override
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    @override
    def error(self, message: str) -> NoReturn:
        greedy = {flag for action in self._actions if action.nargs == "+" for flag in action.option_strings}
        used = [word for word in self._words if word in greedy]
        if used and message.startswith("the following arguments are required"):  # argparse's own words
            message += f". {used[-1]} takes all words that follow it: write the others before it"
        super().error(message)

    @override
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        values, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{self._advice(unknown)}")
        return values

    def _advice(self, unknown: Sequence[str]) -> str:
        """Return what may have been meant by the first flag that there is not; empty if it is none."""
        from bus_toolkit.signatures import did_you_mean

        flag = next((word.partition("=")[0] for word in unknown if word.startswith("--")), None)
        if flag is None:
            return ""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        known = [name for action in shown for name in action.option_strings]
        advice = did_you_mean(flag, known)
        if not advice and "--cfg-options" in known:
            advice = " What a config holds is set by --cfg-options KEY=VALUE, such as train_cfg.max_epochs=5."
        return advice


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns) - 2
    return argparse.HelpFormatter(prog, width=width)


@dataclass(frozen=True)
class Command:
    """The arguments and the action of a command.

    Attributes:
        summary: One line for the list of commands.
        add_arguments: Adds its arguments to a parser.
        run: Does it; returns the exit code, ``None`` for 0.
        details: More sentences for its own help.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    details: str = ""

    def parser(self, prog: str | None = None) -> argparse.ArgumentParser:
        """Return the parser of the words after the command's name; ``prog`` is how its usage names the command."""
        parser = Parser(prog=prog, description=f"{self.summary} {self.details}".strip())
        self.add_arguments(parser)
        return parser

    def main(self, argv: Sequence[str] | None = None, prog: str | None = None) -> int | None:
        """Parse the words after the command's name, run it, return the exit code."""
        return self.run(self.parser(prog).parse_args(argv))


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``, which :func:`bus_toolkit.cli.run.run_cli` reads."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def add_cfg_options(parser: argparse.ArgumentParser, about: str) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=about)


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every measurement that computes."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="CPU threads")


def add_launch_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every command that builds the Runner: overrides, launcher, ``--debug``."""
    add_cfg_options(parser, "overrides, e.g. model.selectors.0.keep_ratio=0.3")
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="the program that started the processes",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and all that OpenMMLab logs")


def seed(text: str) -> int:
    """Return a seed that Python, NumPy and torch all take; the ``type`` of an argument."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be in 0 to 2^32 - 1, got {value}")
    return value


def positive_int(text: str) -> int:
    """Return a whole number of 1 or more; the ``type`` of an argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value
