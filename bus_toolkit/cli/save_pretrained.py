"""Write a trained model as a folder that can be shared."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the folder and the licence."""
    parser.add_argument("source", metavar="RUN_OR_CONFIG", help="a run folder, or a YAML with --checkpoint")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the folder to write: a new one, or an earlier")
    parser.add_argument("--checkpoint", metavar="FILE", help="a .pth or .safetensors (default: the run's newest)")
    parser.add_argument(
        "--licence", metavar="NAME", help="of the weights, such as Apache-2.0 (default: left open in the card)"
    )
    add_cfg_options(parser, "overrides of the config")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Load, write, say how it is used."""
    load_openmmlab()
    from bus_toolkit.inference import Inferencer

    model = Inferencer(args.source, checkpoint=args.checkpoint, device="cpu", cfg_options=args.cfg_options)
    folder = model.save_pretrained(args.out, licence=args.licence)
    for file in sorted(folder.iterdir()):
        print(file)
    print(f'To use it: bus_toolkit.from_pretrained("{folder}"), or bus-toolkit infer QUESTION {folder} ...')


COMMAND = Command(
    "Write a trained model as a folder to share: weights, config, words, model card.",
    add_arguments,
    run,
    "What only a training needs is left out; the folder loads in another place without the data and the run.",
)
