"""Name every bad sample of a config's data: ``python tools/verify_dataset.py CONFIG [flags]``; exit code 1 if any."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError

# Piped output is not cut to the 80 columns that no terminal told.
CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Read the data of a config as a training would: annotation files, rows, then every image through "
        "the pipeline. Name each bad one with file, row, id and reason. Exit code 1 if there is one."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML whose data are read")
    parser.add_argument("--loader", choices=LOADERS, nargs="+", help="default: train_dataloader")
    parser.add_argument("--max-errors", type=positive_int, default=100, metavar="N", help="stop after N, default 100")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read images, default 0")
    parser.add_argument("--sample", type=positive_int, metavar="N", help="read N random images; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of --sample, default 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write counts and faults there too")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of CONFIG")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, verify, show, exit."""
    args = parse_args(argv)
    if args.workers < 0:
        raise ConfigError(f"--workers: must be 0 or more, got {args.workers}.")
    from bus_toolkit.config import load_config
    from bus_toolkit.data.verify import verify_dataset
    from bus_toolkit.registry import REGISTRIES, plain

    config = load_config(args.config, args.cfg_options)
    words = config.get("model", {}).get("tokenizer")
    tokenizer = REGISTRIES.tokenizers.build(plain(words), path="model.tokenizer") if words else None
    found = {}
    for loader in args.loader or LOADERS[:1]:
        if not (config.get(loader) or {}).get("dataset"):
            raise ConfigError(f"{loader}.dataset: {args.config} has none. Choose another --loader.")
        report = verify_dataset(
            plain(config[loader]["dataset"]),
            tokenizer,
            max_faults=args.max_errors,
            sample=args.sample,
            seed=args.seed,
            workers=args.workers,
            watch=_watch,
        )
        found[loader] = report
        for fault in report.faults:
            CONSOLE.print(str(fault), soft_wrap=True, markup=False)
        CONSOLE.print(f"{loader} of {args.config}", markup=False, soft_wrap=True)
        CONSOLE.print(report.table())
        if report.stopped:
            CONSOLE.print(f"Stopped after {args.max_errors} faults; raise --max-errors to see more.")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content = {loader: report.to_json() for loader, report in found.items()}
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if any(report.faults for report in found.values()) else 0


def _watch(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    return track(items, description=what, total=total, console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    run_cli(main)
