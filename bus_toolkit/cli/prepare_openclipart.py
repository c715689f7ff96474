"""Make image-title pairs of Openclipart: one of the data sets of ``prepare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import add_debug_flag, positive_int
from bus_toolkit.home import expand_home

SUMMARY = "Openclipart: tar shards of drawings and their titles"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add source, place and sizes."""
    parser.add_argument(
        "--source",
        type=Path,
        default=Path("/usr/share/openclipart"),
        metavar="FOLDER",
        help="with Debian's packages (cd FOLDER && apt-get download openclipart-svg openclipart-png), "
        "or with what they install (default /usr/share/openclipart)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/openclipart"), metavar="FOLDER", help="default data/openclipart"
    )
    parser.add_argument("--longest-side", type=positive_int, default=256, metavar="N", help="pixels, default 256")
    parser.add_argument(
        "--titles-only", action="store_true", help="leave out pictures whose title names only a collection"
    )
    parser.add_argument("--test", type=positive_int, default=500, metavar="N", help="held-out pairs, default 500")
    parser.add_argument("--val", type=positive_int, default=200, metavar="N", help="validation pairs, default 200")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare, print the counts."""
    from bus_toolkit.data.preparation.counts import check_counts
    from bus_toolkit.data.preparation.openclipart import COUNTS, prepare_openclipart
    from bus_toolkit.data.preparation.report import print_counts

    manifest, is_new = prepare_openclipart(
        expand_home(args.source),
        expand_home(args.out),
        longest_side=args.longest_side,
        titles_only=args.titles_only,
        num_test=args.test,
        num_val=args.val,
        force=args.force,
    )
    counts = manifest["counts"]
    print_counts(args.out, counts, is_new, check_counts("openclipart", COUNTS, counts))
