"""Write the image side of a trained model for machines without this toolkit."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, positive_int
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the format, the file, and how it is timed."""
    parser.add_argument("source", metavar="RUN_OR_CONFIG", help="a run folder, or a YAML with --checkpoint")
    parser.add_argument("--checkpoint", metavar="FILE", help="a .pth or .safetensors (default: the run's newest)")
    parser.add_argument("--part", choices=("image",), default="image", help="what is exported (default: image)")
    parser.add_argument("--format", choices=("onnx", "torch-export"), default="onnx", help="default: onnx")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .onnx, or a .pt2 for torch-export")
    parser.add_argument(
        "--without-text", action="store_true", help="the pass without a text, if the selectors read one (features)"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=1, metavar="N", help="images of a timed pass (default 1)"
    )
    parser.add_argument(
        "--rounds", type=_count, default=10, metavar="N", help="timed passes, in turns with unpruned ones; 0: none"
    )
    parser.add_argument("--threads", type=positive_int, metavar="N", help="CPU threads of a timed pass")
    add_cfg_options(parser, "overrides of the config, such as model.selectors.0.keep_ratio=0.25")
    add_debug_flag(parser)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {value}")
    return value


def run(args: argparse.Namespace) -> None:
    """Load, export, say what was found."""
    load_openmmlab()
    import torch

    from bus_toolkit.engine.quiet import quiet_hosts
    from bus_toolkit.export import Measuring, check_target, export_image_side
    from bus_toolkit.inference.loading import load_trained

    check_target(args.out, args.format)
    quiet_hosts()
    cfg, model = load_trained(args.source, args.checkpoint, args.cfg_options, torch.device("cpu"))
    found = export_image_side(
        model,
        args.out,
        kind=args.format,
        without_text=args.without_text,
        cfg=cfg,
        measuring=Measuring(args.rounds, args.batch_size, args.threads),
    )
    inputs = ", ".join(f"{name} {tuple(one['shape'])}" for name, one in found["inputs"].items())
    rows, columns = found["image"]["grid"]
    print(
        f"{args.out}: {found['bytes'] / 1e6:.1f} MB; {inputs} -> {found['tokens']} tokens of {rows} x {columns} patches"
    )
    print(f"Largest difference from the model itself: {max(found['error'].values()):.1g}")
    if "speed" in found:
        speed = found["speed"]
        print(
            f"{speed['seconds'] * 1e3:.1f} ms for {speed['batch_size']} image(s) with {speed['threads']} thread(s), "
            f"unpruned {speed['seconds_unpruned'] * 1e3:.1f} ms: {speed['times_faster']:.2f} times as fast"
        )
    print(f"{args.out}.json")


COMMAND = Command(
    "Write a trained model's image side as ONNX or as a program of torch.export.",
    add_arguments,
    run,
    "The file appears if what is read back from it gives the model's own outputs to 1e-4 at several batch sizes; its "
    "speed is measured against the unpruned model in the same format.",
)
