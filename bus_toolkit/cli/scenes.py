"""Write the procedural scenes to a folder in COCO's formats.

Training does this by itself on first use; this is for looking at the scenes, or for other programs that read COCO
files.
"""

from __future__ import annotations

import argparse
import json

from bus_toolkit.cli.command import Command, add_debug_flag

SPLIT_SIZES = {"train": 16000, "val": 200, "test": 200}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add place, sizes and difficulty."""
    parser.add_argument("data_root", help="folder to write into; each split gets a folder of its own")
    for split, size in SPLIT_SIZES.items():
        parser.add_argument(
            f"--{split}", type=int, default=size, metavar="N", help=f"{split} images, 0 for none (default {size})"
        )
    parser.add_argument(
        "--family",
        default="scenes",
        metavar="NAME",
        help="scenes (a few large objects, the default) or needles (many small ones, each with a mark to be read)",
    )
    parser.add_argument(
        "--scenes",
        type=json.loads,
        default={},
        metavar="JSON",
        help='difficulty, e.g. \'{"num_objects": [2, 5], "noise": 10}\'; the fields of SceneSettings or NeedleSettings',
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that draw (default: one a processor)")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Write each split, print its folder."""
    from bus_toolkit.data.scenes.cache import prepare_scenes
    from bus_toolkit.data.scenes.families import parse_settings

    settings = parse_settings(args.family, args.scenes)
    for split in SPLIT_SIZES:
        count = getattr(args, split)
        if count:
            folder = prepare_scenes(args.data_root, split, count, settings, args.workers)
            print(f"{folder}: {count} scenes")


COMMAND = Command(
    "Write generated scenes with captions and boxes in COCO's formats.",
    add_arguments,
    run,
    "A training writes the scenes that it needs by itself.",
)
