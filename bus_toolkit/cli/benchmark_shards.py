"""Measure how fast shards are read."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add shards and rounds."""
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="local tar files")
    parser.add_argument(
        "--rounds", type=positive_int, default=5, metavar="N", help="timed rounds; medians are shown (default 5)"
    )
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, print both speeds and their ratio."""
    load_openmmlab()
    from bus_toolkit.analysis.benchmark.shards import measure_shards

    measured = measure_shards(args.shards, args.rounds)
    print(f"{measured.samples} samples, samples a second")
    for source, rates in measured.rates.items():
        speeds = "   ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        print(f"{source:8} {speeds}   x {measured.ratio(source):.2f}")


COMMAND = Command(
    "Measure how fast shards are read, against webdataset.",
    add_arguments,
    run,
    "Tar shards of image-text pairs are read in one process, taking turns: by random access in a shuffled order, and "
    "in sequence by the webdataset library, which must be installed; as bytes, decoded, and as a training wants them, "
    "there also by timm's transforms.",
)
