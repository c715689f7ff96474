"""Measure what the prefix cache saves in re-ranking: ``python tools/benchmark_rerank.py CONFIG [flags]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli.run import positive_int, run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Score one image with many captions, each selecting its own patches: once with the blocks before "
        "the first selector run once, once with them run for every pair, in turns. Random weights and words."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML of a run with an ITM head")
    parser.add_argument("--candidates", type=positive_int, default=128, help="captions of the image (default 128)")
    parser.add_argument("--text-length", type=positive_int, default=25, help="tokens of a caption (default 25)")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pairs at a time (default 32)")
    parser.add_argument("--rounds", type=positive_int, default=3, help="timed rounds; medians are shown (default 3)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--threads", type=positive_int, help="CPU threads")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of CONFIG")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, show, exit."""
    args = parse_args(argv)
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
    found = measure_rerank(
        model,
        candidates=args.candidates,
        text_length=args.text_length,
        batch_size=args.batch_size,
        rounds=args.rounds,
        device=device,
    )
    for name, seconds, macs in (
        ("cached", found.cached, found.macs_cached),
        ("uncached", found.uncached, found.macs_uncached),
    ):
        told = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{name:9} {macs / 1e9:8.1f} GMAC   {told} s an image of {args.candidates} candidates")
    told = f"speed-up {found.speed_up:.2f} (MACs promise {found.promised:.2f})"
    print(f"{told}; the logits differ by at most {found.difference:.1g}")


if __name__ == "__main__":
    run_cli(main)
