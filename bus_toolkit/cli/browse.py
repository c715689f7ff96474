"""Draw a config's data as a training gets them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import LOADERS, Command, add_cfg_options, add_debug_flag, positive_int, seed
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whose data are drawn, and how many of them."""
    parser.add_argument("config", metavar="CONFIG", help="the YAML whose data are drawn")
    parser.add_argument(
        "--loader",
        choices=LOADERS,
        default=LOADERS[0],
        metavar="LOADER",
        help=f"one of {', '.join(LOADERS)}; default: {LOADERS[0]}",
    )
    parser.add_argument("--num", type=positive_int, default=12, metavar="N", help="samples, default 12")
    parser.add_argument(
        "--count", type=positive_int, metavar="N", help="also read N samples and count what each transform changes"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="else work_dirs/browse/<config>_<loader>")
    parser.add_argument("--seed", type=seed, default=0, help="of choice and transforms, default 0")
    parser.add_argument("--region-rows", action="store_true", help="rows as a RegionBatchSampler appends them")
    parser.add_argument(
        "--patch-size", type=positive_int, metavar="N", help="shade patch labels (default: as the patch-text head)"
    )
    add_cfg_options(parser, "overrides of CONFIG")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Draw, print the path of the sheet."""
    load_openmmlab()
    from bus_toolkit.config import load_config
    from bus_toolkit.data.browse import browse, patch_labels_of
    from bus_toolkit.data.change_counts import count_changes, table_of

    config = load_config(args.config, args.cfg_options)
    if not (config.get(args.loader) or {}).get("dataset"):
        raise ConfigError(f"{args.loader}.dataset: {args.config} has none. Choose another --loader.")
    patch_size, overlap = patch_labels_of(config)
    name = Path(args.config.split("::")[-1]).stem
    written = browse(
        config[args.loader]["dataset"],
        args.out or Path("work_dirs/browse") / f"{name}_{args.loader.removesuffix('_dataloader')}",
        num=args.num,
        seed=args.seed,
        region_rows=args.region_rows,
        patch_size=args.patch_size or patch_size,
        overlap=overlap,
    )
    print(f"{written[0]} and {len(written) - 1} single files beside it")
    if args.count:
        print(table_of(count_changes(config[args.loader]["dataset"], num=args.count, seed=args.seed)))


COMMAND = Command(
    "Draw random samples of a config's data.",
    add_arguments,
    run,
    "They are drawn after the pipeline, with boxes, patch labels, texts, answers, labels and file names: one sheet of "
    "all and a file each. --count prints how often each transform changed pixels, boxes and words, and how often it "
    "left no named object in view.",
)
