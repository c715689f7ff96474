"""Measure contrast and matching against mmpretrain's BlipRetrieval."""

from __future__ import annotations

import argparse
from statistics import median

from bus_toolkit.cli.command import Command, add_debug_flag, add_device_flags, positive_int
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config, sizes and device."""
    parser.add_argument(
        "config", metavar="CONFIG", help="the YAML of a run of BLIP's shape, or a name such as elip/elip_blip_base_4m"
    )
    sizes = (
        ("--batch-size", 4, "images and captions a step (default 4)"),
        ("--img-size", 256, "pixels (default 256)"),
        ("--text-length", 30, "tokens of a caption (default 30)"),
        ("--rounds", 5, "timed rounds (default 5)"),
    )
    for flag, default, about in sizes:
        parser.add_argument(flag, type=positive_int, default=default, metavar="N", help=about)
    parser.add_argument("--optimizer", action="store_true", help="count AdamW's step too, the same on both sides")
    add_device_flags(parser)
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure both, print MACs, times and the ratio."""
    load_openmmlab()
    import torch

    from bus_toolkit.analysis.benchmark.blip import compare_with_blip
    from bus_toolkit.engine import find_device

    if args.threads:
        torch.set_num_threads(args.threads)
    measured = compare_with_blip(
        args.config,
        img_size=args.img_size,
        text_length=args.text_length,
        batch_size=args.batch_size,
        rounds=args.rounds,
        device=find_device(args.device, "--device"),
        optimizer=args.optimizer,
    )
    for name, (macs, seconds) in measured.items():
        times = [round(value, 3) for value in seconds]
        print(f"{name}: {macs / 1e9:.2f} GMAC a step, median {median(seconds):.3f} s {times}")
    (_, theirs), (_, ours) = measured["mmpretrain.BlipRetrieval"], measured["ours"]
    ratio = median(their / our for their, our in zip(theirs, ours, strict=True))
    print(f"theirs / ours, median over the rounds: {ratio:.3f}")


COMMAND = Command(
    "Measure a training step against mmpretrain's BlipRetrieval.",
    add_arguments,
    run,
    "A step (forward, backward, momentum) of contrast and matching on a config's backbone without reduction, and the "
    "same of mmpretrain's BlipRetrieval (base), taking turns.",
)
