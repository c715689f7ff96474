"""Make image-title pairs of Openclipart: ``python tools/prepare_data/openclipart.py --source FOLDER``.

FOLDER has Debian's packages: ``cd FOLDER && apt-get download openclipart-svg openclipart-png``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.cli.run import positive_int, run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Make tar shards of Openclipart's drawings and their titles.")
    parser.add_argument(
        "--source",
        type=Path,
        default=Path("/usr/share/openclipart"),
        help="folder with the two .deb files, or the files",
    )
    parser.add_argument("--out", type=Path, default=Path("data/openclipart"), help="default data/openclipart")
    parser.add_argument("--longest-side", type=positive_int, default=256, metavar="N", help="pixels, default 256")
    parser.add_argument(
        "--titles-only", action="store_true", help="leave out pictures whose title names only a collection"
    )
    parser.add_argument("--test", type=positive_int, default=500, metavar="N", help="held-out pairs, default 500")
    parser.add_argument("--val", type=positive_int, default=200, metavar="N", help="validation pairs, default 200")
    parser.add_argument("--force", action="store_true", help="write anew what is already there")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, prepare, say what was done."""
    args = parse_args(argv)
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    from bus_toolkit.data.preparation.counts import check_counts
    from bus_toolkit.data.preparation.openclipart import COUNTS, prepare_openclipart
    from bus_toolkit.data.preparation.report import print_counts

    manifest, is_new = prepare_openclipart(
        args.source.expanduser(),
        args.out.expanduser(),
        longest_side=args.longest_side,
        titles_only=args.titles_only,
        num_test=args.test,
        num_val=args.val,
        force=args.force,
    )
    counts = manifest["counts"]
    print_counts(args.out, counts, is_new, check_counts("openclipart", COUNTS, counts))


if __name__ == "__main__":
    run_cli(main)
