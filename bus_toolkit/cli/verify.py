"""Name every bad sample of a config's data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bus_toolkit.cli.command import LOADERS, Command, add_cfg_options, add_debug_flag, positive_int, seed
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whose data are read, and how much of them."""
    parser.add_argument("config", metavar="CONFIG", help="the YAML whose data are read")
    parser.add_argument(
        "--loader",
        choices=LOADERS,
        nargs="+",
        action="extend",
        metavar="LOADER",
        help=f"some of {', '.join(LOADERS)}; default: {LOADERS[0]}",
    )
    parser.add_argument("--max-errors", type=positive_int, default=100, metavar="N", help="stop after N, default 100")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read images, default 0")
    parser.add_argument("--sample", type=positive_int, metavar="N", help="read N random images; default: all")
    parser.add_argument("--seed", type=seed, default=0, help="of --sample, default 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write counts and faults there too")
    add_cfg_options(parser, "overrides of CONFIG")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Verify, show, and return 1 if there is a fault."""
    if args.workers < 0:
        raise ConfigError(f"--workers: must be 0 or more, got {args.workers}.")
    load_openmmlab()
    from bus_toolkit.cli.screen import wide_console
    from bus_toolkit.config import load_config
    from bus_toolkit.data.text_survey import TextLimits
    from bus_toolkit.data.verify import verify_dataset
    from bus_toolkit.registry import REGISTRIES, plain

    console = wide_console()
    config = load_config(args.config, args.cfg_options)
    words = (config.get("model") or {}).get("tokenizer")
    tokenizer = REGISTRIES.tokenizers.build(plain(words), path="model.tokenizer") if words else None
    reports = {}
    for loader in args.loader or LOADERS[:1]:
        if not (config.get(loader) or {}).get("dataset"):
            raise ConfigError(f"{loader}.dataset: {args.config} has none. Choose another --loader.")
        report = verify_dataset(
            plain(config[loader]["dataset"]),
            tokenizer,
            limits=TextLimits.of(config),
            max_faults=args.max_errors,
            sample=args.sample,
            seed=args.seed,
            workers=args.workers,
            watch=_watch,
        )
        reports[loader] = report
        for fault in report.faults:
            console.print(str(fault), soft_wrap=True, markup=False)
        console.print(f"{loader} of {args.config}", markup=False, soft_wrap=True)
        console.print(report.table())
        for note in report.notes:
            console.print(note, markup=False, soft_wrap=True)
        if report.stopped:
            console.print(f"Stopped after {args.max_errors} faults; raise --max-errors to see more.")
    if args.json is not None:
        content = {loader: report.to_json() for loader, report in reports.items()}
        with writing(args.json, "--json"):
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if any(report.faults for report in reports.values()) else 0


def _watch(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    return track(items, description=description, total=total, console=Console(stderr=True), transient=True)


COMMAND = Command(
    "Name every bad sample of a config's data.",
    add_arguments,
    run,
    "Annotation files, rows, then every image are read through the pipeline as in a training. Each fault is shown with "
    "file, row, id and reason. Exit code 1 if there is one.",
)
