"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [flags]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli import run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint.")
    parser.add_argument("config", help="the YAML of the run, e.g. the config.yaml in its work dir")
    parser.add_argument("checkpoint", help="a .pth of a run, or weights as .safetensors")
    parser.add_argument(
        "--work-dir", help="folder of logs and pictures (default: the config's, else ./work_dirs/<config name>)"
    )
    parser.add_argument("--out", metavar="JSON", help="write the metrics to this file")
    parser.add_argument("--amp", action="store_true", help="evaluate in mixed precision (bfloat16 on the CPU)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="overrides, e.g. model.selectors.0.keep_ratio=0.3",
    )
    parser.add_argument(
        "--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="what started the processes"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and all that the hosts log")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, evaluate, exit."""
    args = parse_args(argv)
    from bus_toolkit.engine import RunOptions, evaluate

    options = RunOptions(
        work_dir=args.work_dir, load_from=args.checkpoint, amp=args.amp, launcher=args.launcher, debug=args.debug
    )
    evaluate(args.config, args.cfg_options, options, out=args.out)


if __name__ == "__main__":
    run_cli(main)
