"""Put a saved model on Hugging Face's hub."""

from __future__ import annotations

import argparse

from bus_toolkit.cli.command import Command, add_debug_flag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, the repository and who sees it."""
    parser.add_argument("folder", metavar="FOLDER", help="what save-pretrained has written")
    parser.add_argument("repository", metavar="OWNER/NAME", help="made unless it is there")
    parser.add_argument("--private", action="store_true", help="a new one is seen by its owner alone")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Send the files; print the name that loads them."""
    from bus_toolkit.pretrained.hub import push_to_hub

    print(push_to_hub(args.folder, args.repository, private=args.private))


COMMAND = Command(
    "Put a folder of save-pretrained on Hugging Face's hub.",
    add_arguments,
    run,
    "Its files are compared with their checksums first. Who you are, `hf auth login` or HF_TOKEN says.",
)
