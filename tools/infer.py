"""Ask a trained model about images: ``python tools/infer.py COMMAND RUN_OR_CONFIG --images GLOB... [flags]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError

# Piped output is not cut to the 80 columns that no terminal told.
CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
COMMANDS = {
    "retrieve": "the best texts of each image and the best images of each text",
    "answer": "answers to questions",
    "caption": "a sentence on each image",
    "ground": "the box that each expression speaks of",
    "explain": "which patches were read under which text, as pictures",
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    lines = "; ".join(f"{name}: {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        description=f"Ask a trained model about images. {lines}. One image stands for several texts, and one text for "
        "several images; for retrieve every image meets every text."
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("source", metavar="RUN_OR_CONFIG", help="a run folder, or a YAML with --checkpoint")
    parser.add_argument("--checkpoint", metavar="FILE", help="a .pth or .safetensors (default: the run's newest)")
    parser.add_argument("--images", nargs="+", required=True, metavar="GLOB", help="paths, or globs in quotes")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--text", nargs="+", default=[], metavar="TEXT", help="captions, questions or expressions")
    words.add_argument("--texts-file", type=Path, metavar="FILE", help="the same from a UTF-8 file, one a line")
    parser.add_argument("--topk", type=positive_int, metavar="K", help="retrieve: partners of each query (default: 5)")
    parser.add_argument("--rerank", type=positive_int, metavar="K", help="retrieve: order the best K by matching")
    parser.add_argument("--direction", choices=("both", "i2t", "t2i"), help="retrieve: one of the two (default: both)")
    parser.add_argument(
        "--out", type=Path, metavar="PLACE", help="a .json, or a folder for COMMAND.json and the pictures of explain"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument("--device", help="such as cuda:1 (default: a GPU, if there is one)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the config")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, ask, show, write, exit."""
    args = parse_args(argv)
    search = search_flags(args)
    from bus_toolkit.cli.infer import ask, check_out, expand_images, read_texts, write
    from bus_toolkit.cli.infer_tables import tables
    from bus_toolkit.inference import Inferencer

    images, texts = expand_images(args.images), read_texts(args.text, args.texts_file)
    check_texts(args.command, texts)
    check_out(args.command, args.out)
    inferencer = Inferencer(
        args.source,
        checkpoint=args.checkpoint,
        device=args.device,
        cfg_options=args.cfg_options,
        batch_size=args.batch_size,
    )
    results = ask(inferencer, args.command, images, texts, args.out, **search)
    for table in tables(args.command, results, images, texts):
        CONSOLE.print(table)
    if args.out is not None:
        CONSOLE.print(str(write(args.command, results, args.out)), markup=False, soft_wrap=True)


def search_flags(args: argparse.Namespace) -> dict[str, object]:
    """Return the arguments of ``retrieve`` that were given.

    Raises:
        ConfigError: They were given to another command.
    """
    given = {name: getattr(args, name) for name in ("topk", "rerank", "direction") if getattr(args, name) is not None}
    if given and args.command != "retrieve":
        raise ConfigError(
            f"--{next(iter(given))}: has an effect on retrieve only, got the command {args.command}. Leave it out."
        )
    return given if args.command != "retrieve" else {"direction": "both", **given}


def check_texts(command: str, texts: Sequence[str]) -> None:
    """Refuse a command with texts that it does not read, or without those that it needs.

    Raises:
        ConfigError: One of the two.
    """
    if command == "caption" and texts:
        raise ConfigError("--text: caption reads none, got some. Leave it out, or ask by answer or ground.")
    if command in ("retrieve", "answer", "ground") and not texts:
        raise ConfigError(f"--text: {command} needs at least one, got none. Give --text or --texts-file.")


if __name__ == "__main__":
    run_cli(main)
