"""Write the procedural scenes to a folder in COCO's formats: ``python tools/generate_scenes.py DATA_ROOT``.

Training does this by itself on first use; this is for looking at the scenes, or for other programs that read COCO
files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from bus_toolkit.cli.run import run_cli

SPLIT_SIZES = {"train": 16000, "val": 200, "test": 200}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Write procedural scenes in COCO's formats.")
    parser.add_argument("data_root", help="folder to write into; each split gets a folder of its own")
    for split, size in SPLIT_SIZES.items():
        parser.add_argument(
            f"--{split}", type=int, default=size, metavar="N", help=f"{split} images, 0 for none (default {size})"
        )
    parser.add_argument(
        "--scenes",
        type=json.loads,
        default={},
        metavar="JSON",
        help='difficulty, e.g. \'{"num_objects": [2, 5], "noise": 10}\'; the fields of SceneSettings',
    )
    parser.add_argument(
        "--workers", type=int, default=None, metavar="N", help="processes that draw (default: one a processor)"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, write, say where."""
    args = parse_args(argv)
    from bus_toolkit.data.scenes.cache import prepare_scenes
    from bus_toolkit.data.scenes.settings import SceneSettings

    settings = SceneSettings.parse(args.scenes)
    for split in SPLIT_SIZES:
        count = getattr(args, split)
        if count:
            folder = prepare_scenes(args.data_root, split, count, settings, args.workers)
            print(f"{folder}: {count} scenes")


if __name__ == "__main__":
    run_cli(main)
