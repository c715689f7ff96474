"""Examine this machine and this installation."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int

_WIDTH = 118
_INDENT = " " * 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder of runs and the time that a check may take."""
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs"), metavar="FOLDER", help="of runs, for its disk (work_dirs)"
    )
    parser.add_argument(
        "--seconds", type=positive_int, default=120, metavar="N", help="that a check may take (default 120)"
    )
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found as it comes; 1 if there is a fault."""
    from bus_toolkit.doctor import Finding, Verdict, examine

    found: list[Finding] = []
    for section in examine(args.work_dir, args.seconds):
        print(section.title)
        for finding in section.findings:
            print(_wrapped(f"  {finding.verdict.value:8}{finding.what}"))
            if finding.advice:
                print(_wrapped(f"{_INDENT}{finding.advice}"))
        print(flush=True)
        found += section.findings
    faults, warnings = (sum(one.verdict is verdict for one in found) for verdict in (Verdict.FAULT, Verdict.WARNING))
    print(f"{faults} faults, {warnings} warnings. A report of a bug needs all of this page.")
    return int(faults > 0)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)


COMMAND = Command(
    "Examine this machine and this installation, and say what to mend.",
    add_arguments,
    run,
    "Versions, distributions that overwrite each other, memory, disk, devices, plugins, two processes, and a training "
    "step on each device; exit code 1 if there is a fault. What it prints is what a report of a bug needs.",
)
