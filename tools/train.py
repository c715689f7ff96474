"""Train a model from a YAML: ``python tools/train.py CONFIG [flags]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli import run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Train a model from a YAML.")
    parser.add_argument("config", help="the YAML of the run, e.g. registry_configs/bus/bus_scenes_tiny.yaml")
    parser.add_argument(
        "--work-dir", help="folder of logs and checkpoints (default: the config's, else ./work_dirs/<config name>)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="latest",
        metavar="PATH",
        help="go on from PATH, or from the newest checkpoint of the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="train in mixed precision (bfloat16 on the CPU)")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate by the real over the base batch size"
    )
    parser.add_argument("--no-validate", action="store_true", help="do not evaluate while training")
    parser.add_argument("--seed", type=int, help="seed of Python, NumPy and torch (default: the config's)")
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
    """Parse, train, exit."""
    args = parse_args(argv)
    from bus_toolkit.engine import RunOptions, train

    options = RunOptions(
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        no_validate=args.no_validate,
        seed=args.seed,
        launcher=args.launcher,
        debug=args.debug,
    )
    train(args.config, args.cfg_options, options)


if __name__ == "__main__":
    run_cli(main)
