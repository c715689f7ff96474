"""Put runs side by side on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.writing import write_whole, writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs and the output."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of trainings, two or more")
    parser.add_argument("--out", type=Path, default=Path("compare.html"), metavar="FILE", help="default: compare.html")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Write the page and print its path."""
    load_openmmlab()
    from bus_toolkit.run_page.compare import compare_page
    from bus_toolkit.run_page.folder import read_run

    page = compare_page([read_run(folder) for folder in args.runs])
    with writing(args.out, "--out"):
        write_whole(args.out, page)
    print(args.out)


COMMAND = Command(
    "Put runs side by side on one HTML page: charts, settings that differ, results.",
    add_arguments,
    run,
)
