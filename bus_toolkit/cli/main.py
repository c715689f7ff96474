"""``bus-toolkit COMMAND``, also as ``python -m bus_toolkit COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import bus_toolkit
from bus_toolkit.cli.catalogue import GROUPS, find_command
from bus_toolkit.cli.interrupt import end_at_second_interrupt
from bus_toolkit.cli.run import MISTAKE, run_cli

USAGE = "usage: bus-toolkit COMMAND [arguments]"


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run the command that the first word names with the other words; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        print(f"{USAGE}\n`bus-toolkit --help` lists the commands.", file=sys.stderr)
        return MISTAKE
    if words[0] in ("-h", "--help", "help"):
        print(overview())
        return None
    if words[0] == "--version":
        print(f"bus-toolkit {bus_toolkit.__version__}")
        return None
    return find_command(words[0]).main(words[1:], prog=f"bus-toolkit {words[0]}")


def overview() -> str:
    """Return the help of the whole: every command with its summary, by group."""
    lines = [USAGE, "", "Build, train, measure and extend vision-language models that drop visual tokens early."]
    for group, names in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {name:17} {find_command(name).summary}" for name in names)]
    return "\n".join([*lines, "", "`bus-toolkit COMMAND --help` shows the arguments of a command."])


def run() -> NoReturn:
    """Run the command line and exit: the console script."""
    end_at_second_interrupt()
    run_cli(main)


def run_as(*words: str) -> NoReturn:
    """Run the command line with ``words`` put first and exit: a script in tools/ is one command."""
    end_at_second_interrupt()
    run_cli(lambda _: main([*words, *sys.argv[1:]]))
