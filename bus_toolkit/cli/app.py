"""Try a trained model in the browser."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag
from bus_toolkit.cli.infer_inputs import expand_images, read_texts
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the images and captions to choose from, and the address."""
    parser.add_argument("source", metavar="RUN_OR_CONFIG", help="a run folder, or a YAML with --checkpoint")
    parser.add_argument("--checkpoint", metavar="FILE", help="a .pth or .safetensors (default: the run's newest)")
    parser.add_argument(
        "--images", nargs="+", action="extend", default=[], metavar="GLOB", help="images to choose from and to search"
    )
    parser.add_argument("--texts-file", type=Path, metavar="FILE", help="captions to compare, UTF-8, one a line")
    parser.add_argument(
        "--classes-file", type=Path, metavar="FILE", help="names of a classification head's classes, one a line"
    )
    parser.add_argument("--port", type=_port, default=7860, metavar="N", help="0: any that is free (default: 7860)")
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="to serve at; others than 127.0.0.1 let the network in (default: 127.0.0.1)",
    )
    parser.add_argument("--device", help="such as cuda:1 (default: a GPU, if there is one)")
    add_cfg_options(parser, "overrides of the config")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Bind, load, serve until Ctrl-C."""
    images = expand_images(args.images) if args.images else []
    captions = [] if args.texts_file is None else read_texts([], args.texts_file)
    classes = [] if args.classes_file is None else read_texts([], args.classes_file, "--classes-file")
    load_openmmlab(announced=True)
    from bus_toolkit.app import AppServer, Desk, Gallery
    from bus_toolkit.app.guards import is_loopback
    from bus_toolkit.app.question import MOST_CAPTIONS
    from bus_toolkit.inference import Inferencer

    if len(captions) > MOST_CAPTIONS:
        raise ConfigError(f"--texts-file: the page compares at most {MOST_CAPTIONS}, got {len(captions)}. Name fewer.")
    gallery = Gallery(images)
    with AppServer(args.address, args.port) as server:  # before the model is loaded, which takes longer
        model = Inferencer(args.source, checkpoint=args.checkpoint, device=args.device, cfg_options=args.cfg_options)
        desk = Desk(model, gallery, captions, classes)
        if not is_loopback(args.address):
            _log.warning("--address: everybody who reaches %s may ask, and sees the images given.", args.address)
        print(f"{server.url}  (Ctrl-C ends it)", flush=True)
        server.serve(desk)


def _port(text: str) -> int:
    """Return the number of a port; the ``type`` of an argument."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text}")
    return int(text)


COMMAND = Command(
    "Try a trained model in the browser: drop an image, type a text.",
    add_arguments,
    run,
    "A page on this machine shows which patches are read at each stage and what the heads answer; the keep ratio is a "
    "slider. Nothing is sent elsewhere.",
)
