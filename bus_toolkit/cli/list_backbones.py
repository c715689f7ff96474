"""List mmpretrain's backbones."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which ones."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, such as ResNet (default: all)")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Build and try each, print the table."""
    load_openmmlab()
    from bus_toolkit.analysis.backbone_survey import chosen, row_of, table

    for line in table(map(row_of, chosen(args.names))):
        print(line)


COMMAND = Command(
    "Try every backbone of mmpretrain and list what each can do.",
    add_arguments,
    run,
    "Takes about a minute. The table is that of registry_configs/BACKBONES.md.",
)
