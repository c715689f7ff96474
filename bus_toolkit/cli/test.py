"""Evaluate a checkpoint."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_launch_flags
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of an evaluation."""
    parser.add_argument("config", help="the YAML of the run, e.g. the config.yaml in its work dir, or a name")
    parser.add_argument("checkpoint", help="a .pth of a run, or weights as .safetensors")
    parser.add_argument(
        "--work-dir", help="folder of logs and pictures (default: the config's, else ./work_dirs/<config name>)"
    )
    parser.add_argument("--out", metavar="JSON", help="write the metrics to this file")
    parser.add_argument(
        "--samples", metavar="JSONL", help="write the verdict on each sample to this file (.jsonl, or .jsonl.gz)"
    )
    parser.add_argument(
        "--lost-by-downsampling",
        nargs=2,
        metavar=("FULL", "SMALL"),
        help="also report the accuracy on what is right in one such file and wrong in another, of smaller images",
    )
    parser.add_argument("--amp", action="store_true", help="evaluate in mixed precision (bfloat16 on the CPU)")
    add_launch_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate as the arguments say."""
    load_openmmlab(announced=True)
    from bus_toolkit.engine import RunOptions, evaluate

    options = RunOptions(
        work_dir=args.work_dir,
        load_from=args.checkpoint,
        amp=args.amp,
        launcher=args.launcher,
        debug=args.debug,
        samples_file=args.samples,
        lost_by_downsampling=None if args.lost_by_downsampling is None else tuple(args.lost_by_downsampling),
    )
    evaluate(args.config, args.cfg_options, options, out=args.out)


COMMAND = Command("Evaluate a checkpoint.", add_arguments, run)
