"""Measure how fast shards are read: ``python tools/benchmark_shards.py SHARD... [flags]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli.run import positive_int, run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Read tar shards of image-text pairs in one process: by random access in a shuffled order, and by "
        "the bare webdataset library in sequence, in turns. Needs webdataset."
    )
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="local tar files")
    parser.add_argument("--rounds", type=positive_int, default=5, help="timed rounds; medians are shown (default 5)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, show, exit."""
    args = parse_args(argv)
    from bus_toolkit.analysis.benchmark.shards import measure_shards
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    found = measure_shards(args.shards, args.rounds)
    print(f"{found.samples} samples, samples a second")
    for what, rates in found.rates.items():
        told = "   ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        print(f"{what:8} {told}   x {found.ratio(what):.2f}")


if __name__ == "__main__":
    run_cli(main)
