"""Measure the time that the prefix cache saves in re-ranking."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, add_device_flags, positive_int
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config, sizes and device."""
    parser.add_argument("config", metavar="CONFIG", help="the YAML of a run with an ITM head")
    sizes = (
        ("--candidates", 128, "captions of the image (default 128)"),
        ("--text-length", 25, "tokens of a caption (default 25)"),
        ("--batch-size", 32, "pairs at a time (default 32)"),
        ("--rounds", 3, "timed rounds; medians are shown (default 3)"),
    )
    for flag, default, about in sizes:
        parser.add_argument(flag, type=positive_int, default=default, metavar="N", help=about)
    add_device_flags(parser)
    add_cfg_options(parser, "overrides of CONFIG")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure with and without the cache, print both."""
    load_openmmlab()
    import torch

    from bus_toolkit import build_model, load_config
    from bus_toolkit.analysis.benchmark.rerank import measure_rerank
    from bus_toolkit.engine import find_device

    if args.threads:
        torch.set_num_threads(args.threads)
    device = find_device(args.device, "--device")
    overrides = [f"model.tokenizer.max_length={args.text_length}", *args.cfg_options]
    torch.manual_seed(0)
    model = build_model(load_config(args.config, overrides)).to(device)
    measured = measure_rerank(
        model,
        candidates=args.candidates,
        text_length=args.text_length,
        batch_size=args.batch_size,
        rounds=args.rounds,
        device=device,
    )
    for name, seconds, macs in (
        ("cached", measured.cached, measured.macs_cached),
        ("uncached", measured.uncached, measured.macs_uncached),
    ):
        times = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{name:9} {macs / 1e9:8.1f} GMAC   {times} s an image of {args.candidates} candidates")
    print(
        f"speed-up {measured.speed_up:.2f} (MACs promise {measured.promised:.2f}); "
        f"the logits differ by at most {measured.difference:.1g}"
    )


COMMAND = Command(
    "Measure the time that the shared first blocks save in re-ranking.",
    add_arguments,
    run,
    "One image is scored with many captions, each selecting its own patches: once with the blocks before the first "
    "selector computed once, once with them computed for every pair, taking turns. Weights and words are random.",
)
