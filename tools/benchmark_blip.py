"""Measure contrast and matching against mmpretrain's BlipRetrieval: ``python tools/benchmark_blip.py CONFIG``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median

from rich.console import Console

from bus_toolkit.cli.run import positive_int, run_cli

CONSOLE = Console(highlight=False, soft_wrap=True)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="A training step (forward, backward, momentum) of contrast and matching on a config's unpruned "
        "host, and the same of mmpretrain's BlipRetrieval (base), taking turns. Give a host of BLIP's shape."
    )
    parser.add_argument("config", help="the YAML of a run, such as registry_configs/elip/elip_blip_base_4m.yaml")
    parser.add_argument("--batch-size", type=positive_int, default=4)
    parser.add_argument("--img-size", type=positive_int, default=256, help="pixels (default 256)")
    parser.add_argument("--text-length", type=positive_int, default=30, help="tokens of a caption (default 30)")
    parser.add_argument("--rounds", type=positive_int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--threads", type=positive_int, help="CPU threads")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, show, exit."""
    args = parse_args(argv)
    import torch

    from bus_toolkit.analysis.benchmark.blip import compare_with_blip
    from bus_toolkit.engine import find_device

    if args.threads:
        torch.set_num_threads(args.threads)
    found = compare_with_blip(
        args.config,
        img_size=args.img_size,
        text_length=args.text_length,
        batch_size=args.batch_size,
        rounds=args.rounds,
        device=find_device(args.device, "--device"),
    )
    for name, (macs, seconds) in found.items():
        CONSOLE.print(
            f"{name}: {macs / 1e9:.2f} GMAC a step, median {median(seconds):.3f} s {[round(s, 3) for s in seconds]}"
        )
    (_, theirs), (_, ours) = found["mmpretrain.BlipRetrieval"], found["ours"]
    ratio = median(their / our for their, our in zip(theirs, ours, strict=True))
    CONSOLE.print(f"theirs / ours, median over the rounds: {ratio:.3f}")


if __name__ == "__main__":
    run_cli(main)
