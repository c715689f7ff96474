"""Make the page of a run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run and the output."""
    parser.add_argument("run", metavar="RUN", help="the folder of a training, running or finished")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: report.html in the run)")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Write the page and print its path."""
    load_openmmlab()
    from bus_toolkit.run_page.folder import PAGE, read_run
    from bus_toolkit.run_page.page import write_page

    found = read_run(args.run)
    out = args.out or found.path / PAGE
    with writing(out, "--out"):
        print(write_page(found, out))


COMMAND = Command(
    "Write a run as one HTML page: charts, results, kept patches, config.",
    add_arguments,
    run,
    "A training writes it by itself (default_hooks.page); this makes it again, of older runs and of copies, too.",
)
