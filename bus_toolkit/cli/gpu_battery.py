"""Compare a GPU with the CPU and measure training on it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bus_toolkit.cli.command import Command, add_debug_flag, add_device_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add size, time, output and device."""
    parser.add_argument("--toy", action="store_true", help="tiny models, as on a CPU: to see that the battery works")
    parser.add_argument("--minutes", type=float, default=8.0, metavar="N", help="most minutes (default 8)")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/gpu_battery.json"), metavar="FILE", help="JSON with all figures"
    )
    add_device_flags(parser)
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Run it, print each result, the table and the verdict; 1 where something is wrong."""
    from bus_toolkit.cli.loading import load_openmmlab

    load_openmmlab()
    import torch

    from bus_toolkit.engine import find_device
    from bus_toolkit.engine.quiet import quiet_hosts
    from bus_toolkit.gpu_battery.arms import PAPER, TOY
    from bus_toolkit.gpu_battery.report import table
    from bus_toolkit.gpu_battery.run import run_battery
    from bus_toolkit.json_text import dump_json
    from bus_toolkit.plugin.manager import load_plugins
    from bus_toolkit.writing import make_writable_folder

    if args.threads:
        torch.set_num_threads(args.threads)
    quiet_hosts()
    load_plugins(["bus_text_free"])  # EViT and ToMe
    make_writable_folder(args.out.parent, "--out")
    device = find_device(args.device, "--device")
    report = run_battery(TOY if args.toy else PAPER, device, minutes=args.minutes, tell=_tell)
    for row in table(report.speeds):
        print("{:>4}  {:20} {:>5} {:>10} {:>10} {:>9}".format(*row))
    args.out.write_text(dump_json(report.to_json(), indent=2) + "\n", encoding="utf-8")
    print(*report.verdict(), sep="\n")
    print(f"{report.machine['device']}, {report.seconds:.0f} s; all figures: {args.out}")
    return 0 if report.is_good else 1


def _tell(one: Any) -> None:
    """Print a result that is not good as soon as it is there; those of arms come as a table at the end."""
    if one.problem or getattr(one, "waits", None):
        print(one)


COMMAND = Command(
    "Compare a GPU with the CPU and measure training on it, in 8 minutes.",
    add_arguments,
    run,
    "Every part in a tiny model: losses in float32 and bfloat16 beside the CPU's, and whether a training step waits "
    "for the GPU. Then samples a second and peak memory of training steps in bfloat16 at 256, 384 and 512 px: BUS, its "
    "unpruned model, a random selection, EViT, ToMe and ELIP. Weights, images and words are random.",
)
