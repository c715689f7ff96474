"""List mmpretrain's backbones: ``python tools/list_backbones.py > registry_configs/BACKBONES.md``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli.run import run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Try every backbone of mmpretrain (about a minute) and print the table of "
        "registry_configs/BACKBONES.md."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, such as ResNet (default: all)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, try, print."""
    args = parse_args(argv)
    from bus_toolkit.analysis.backbone_survey import chosen, row_of, table
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    for line in table(map(row_of, chosen(args.names))):
        print(line)


if __name__ == "__main__":
    run_cli(main)
