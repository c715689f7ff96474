"""Write image-caption pairs into tar shards (webdataset's format), or check shards.

From COCO's files: ``python tools/make_shards.py data/shards/train --images data/pairs --captions captions_train.json
--instances data/pairs/instances_train.json --regions data/pairs/regions_train.json``. From a folder of images, each
with a ``.txt`` or ``.json`` of the same name: ``python tools/make_shards.py data/shards/train --folder data/photos``.
Check: ``python tools/make_shards.py --verify 'data/shards/train/*.tar'`` (exit code 1 if anything is wrong).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Write image-caption pairs into tar shards, or check shards.")
    parser.add_argument("out", nargs="?", help="folder to write; it must not exist, or be empty")
    parser.add_argument("--folder", help="source: images below this folder, each with a .txt or .json of its name")
    parser.add_argument("--images", help="source: folder of the images of --captions")
    parser.add_argument("--captions", help="source: COCO captions JSON, relative to --images or absolute")
    parser.add_argument("--instances", help="boxes for --captions: COCO instances JSON")
    parser.add_argument("--regions", help="which instances each caption names: JSON, caption id -> instance ids")
    parser.add_argument("--shuffle-seed", type=int, metavar="N", help="write in a random order (default: as they come)")
    parser.add_argument("--samples-per-shard", type=positive_int, default=10_000, metavar="N", help="default 10000")
    parser.add_argument("--max-mb", type=positive_int, default=1000, metavar="N", help="size of a shard, default 1000")
    parser.add_argument("--verify", nargs="+", metavar="SHARD", help="check these shards instead (globs, braces)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse; write or check; say what was done."""
    args = parse_args(argv)
    if args.verify:
        return _verify(args.verify)
    if args.out is None or (args.folder is None) == (args.captions is None or args.images is None):
        raise ConfigError(
            "make_shards: needs a folder to write and one source: --folder, or --images with --captions. "
            "To check shards: --verify SHARD... See --help."
        )
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
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
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    from bus_toolkit.data.shards.shard_paths import find_shards
    from bus_toolkit.data.shards.verify_shards import verify_shards

    total = 0
    for path, good, faults in verify_shards(find_shards(patterns, "--verify")):
        for fault in faults:
            print(fault)
        print(f"{path}: {good} good samples, {len(faults)} faults")
        total += len(faults)
    return 1 if total else 0


if __name__ == "__main__":
    run_cli(main)
