"""Look at a config's data as a training gets them: ``python tools/browse_dataset.py CONFIG [flags]`` writes PNGs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Draw random samples behind the pipeline: boxes, patch labels, texts, answers, labels, file names; "
        "one sheet of all and a file each."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML whose data are drawn")
    parser.add_argument("--loader", choices=LOADERS, default=LOADERS[0], help="default: train_dataloader")
    parser.add_argument("--num", type=positive_int, default=12, metavar="N", help="samples, default 12")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="else work_dirs/browse/<config>_<loader>")
    parser.add_argument("--seed", type=int, default=0, help="of choice and transforms, default 0")
    parser.add_argument("--region-rows", action="store_true", help="rows as a RegionBatchSampler appends them")
    parser.add_argument(
        "--patch-size", type=positive_int, metavar="N", help="shade patch labels (default: as the patch-text head)"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of CONFIG")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, draw, say where."""
    args = parse_args(argv)
    from bus_toolkit.config import load_config
    from bus_toolkit.data.browse import browse, patch_labels_of

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


if __name__ == "__main__":
    run_cli(main)
