"""Write image-caption pairs into tar shards (webdataset's format), or check shards."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add place, sources and sizes."""
    parser.add_argument("out", nargs="?", help="folder to write; it must not exist, or be empty")
    parser.add_argument("--folder", help="source: images below this folder, each with a .txt or .json of its name")
    parser.add_argument("--images", help="source: folder of the images of --captions")
    parser.add_argument("--captions", help="source: COCO captions JSON, relative to --images or absolute")
    parser.add_argument("--instances", help="boxes for --captions: COCO instances JSON")
    parser.add_argument("--regions", help="which instances each caption names: JSON, caption id -> instance ids")
    parser.add_argument("--shuffle-seed", type=int, metavar="N", help="write in a random order (default: as they come)")
    parser.add_argument("--samples-per-shard", type=positive_int, default=10_000, metavar="N", help="default 10000")
    parser.add_argument("--max-mb", type=positive_int, default=1000, metavar="N", help="size of a shard, default 1000")
    parser.add_argument(
        "--verify", nargs="+", action="extend", metavar="SHARD", help="check these shards instead (globs, braces)"
    )
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Write or check; print what was done; 1 if a checked shard has a fault."""
    if args.verify:
        return _verify(args.verify)
    if args.out is None or (args.folder is None) == (args.captions is None or args.images is None):
        raise ConfigError(
            "shards: needs a folder to write and one source: --folder, or --images with --captions. "
            "To check shards: --verify SHARD... See --help."
        )
    load_openmmlab()
    from bus_toolkit.data.shards.shard_sources import pairs_of_coco, pairs_of_folder
    from bus_toolkit.data.shards.write_shards import write_shards

    samples = (
        pairs_of_folder(args.folder)
        if args.folder is not None
        else pairs_of_coco(args.images, args.captions, instances=args.instances, regions=args.regions)
    )
    if args.shuffle_seed is not None:
        samples = list(samples)
        random.Random(args.shuffle_seed).shuffle(samples)
    written = write_shards(
        samples, args.out, samples_per_shard=args.samples_per_shard, max_bytes=args.max_mb * 1_000_000
    )
    print(f"{args.out}: {len(written)} shards, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")
    return 0


def _verify(patterns: Sequence[str]) -> int:
    load_openmmlab()
    from bus_toolkit.data.shards.shard_paths import find_shards
    from bus_toolkit.data.shards.tar_index import kinds_text
    from bus_toolkit.data.shards.verify_shards import verify_shards
    from bus_toolkit.safe_text import one_line

    total = 0
    for shard in verify_shards(find_shards(patterns, "--verify")):
        for fault in shard.faults:
            print(one_line(fault))
        others = f"; passed over: {kinds_text(shard.passed_over)}" if shard.passed_over else ""
        print(one_line(f"{shard.path}: {shard.num_good} good samples, {len(shard.faults)} faults{others}"))
        total += len(shard.faults)
    return 1 if total else 0


COMMAND = Command(
    "Write image-caption pairs into tar shards, or check shards.",
    add_arguments,
    run,
    "The pairs come from COCO's files (--images, --captions, and boxes by --instances and --regions) or from a folder "
    "of images, each with a .txt or .json of the same name (--folder). --verify ends with exit code 1 on a fault.",
)
