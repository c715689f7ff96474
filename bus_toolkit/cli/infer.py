"""Ask a trained model about images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, positive_int
from bus_toolkit.cli.infer_inputs import (
    check_out,
    check_sources,
    check_texts,
    expand_images,
    names_of,
    read_texts,
    search_flags,
)
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import DataError

if TYPE_CHECKING:
    from bus_toolkit.inference import Inferencer

PICTURES = "work_dirs/infer"
COMMANDS = {
    "retrieve": "the best texts of each image and the best images of each text",
    "classify": "the class of each image, of those that the texts name",
    "answer": "answers to questions",
    "caption": "a sentence on each image",
    "ground": "the box that each expression speaks of",
    "explain": "which patches were read under which text, as pictures",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command, the model, the images and texts, and the output files."""
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="RUN_OR_CONFIG",
        help="a run folder, or a YAML with --checkpoint; several for explain --side-by-side",
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="a .pth or .safetensors (default: the run's newest)")
    parser.add_argument(
        "--images", nargs="+", action="extend", required=True, metavar="GLOB", help="paths, or globs in quotes"
    )
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--text",
        nargs="+",
        action="extend",
        default=[],
        metavar="TEXT",
        help="captions, questions, expressions or names of classes",
    )
    words.add_argument("--texts-file", type=Path, metavar="FILE", help="the same from a UTF-8 file, one a line")
    parser.add_argument(
        "--template",
        nargs="+",
        action="extend",
        metavar="TEXT",
        help="classify: sentences with {} in the place of the name (default: 'a photo of a {}.')",
    )
    parser.add_argument(
        "--topk", type=positive_int, metavar="K", help="retrieve, classify: partners of each query (default: 5)"
    )
    parser.add_argument("--rerank", type=positive_int, metavar="K", help="retrieve: order the best K by matching")
    parser.add_argument("--direction", choices=("both", "i2t", "t2i"), help="retrieve: one of the two (default: both)")
    parser.add_argument(
        "--side-by-side",
        action="store_true",
        help="explain: one picture, an image and what each text kept of it, by one model or by several",
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="a .json, or a folder for COMMAND.json and the pictures of explain"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="images at a time (default: 32)"
    )
    parser.add_argument("--device", help="such as cuda:1 (default: a GPU, if there is one)")
    add_cfg_options(parser, "overrides of the config")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Ask, show, write."""
    search = search_flags(args)
    images, texts = expand_images(args.images), read_texts(args.text, args.texts_file)
    check_sources(args)
    check_texts(args.command, texts)
    check_out(args.command, args.out)
    load_openmmlab()
    from bus_toolkit.cli.infer_tables import tables
    from bus_toolkit.cli.screen import wide_console
    from bus_toolkit.inference import Inferencer, explain_models

    models = {
        name: Inferencer(
            source,
            checkpoint=args.checkpoint,
            device=args.device,
            cfg_options=args.cfg_options,
            batch_size=args.batch_size,
        )
        for name, source in names_of(args.sources).items()
    }
    if len(models) > 1:
        results: Any = explain_models(models, images, texts or None, _folder(args.out))
    else:
        results = ask(next(iter(models.values())), args.command, images, texts, args.out, **search)
    console = wide_console()
    for table in tables(args.command, results, images, texts):
        console.print(table)
    if args.out is not None:
        print(write(args.command, results, args.out))


def ask(
    inferencer: Inferencer, command: str, images: Sequence[str], texts: Sequence[str], out: Path | None, **search: Any
) -> Any:
    """Return the result of the method of that name; for ``retrieve`` always by direction.

    Args:
        inferencer: The model.
        command: A method of ``Inferencer`` but ``index``.
        images: Paths.
        texts: None for captions; without any, ``explain`` shows the pass without text.
        out: As ``--out``: pictures of ``explain`` go into this folder, or into one named as the JSON.
        search: Arguments of ``retrieve``, ``classify`` or ``explain``.
    """
    if command == "classify":
        return inferencer.classify(list(images), list(texts), **search)
    if command == "retrieve":
        hits = inferencer.retrieve(list(images), list(texts), **search)
        return hits if isinstance(hits, dict) else {search["direction"]: hits}
    if command == "caption":
        return inferencer.caption(list(images))
    if command == "explain":
        return inferencer.explain(list(images), list(texts) or None, out=_folder(out), **search)
    method = {"answer": inferencer.answer, "ground": inferencer.ground}[command]
    return method(list(images), list(texts))


def _folder(out: Path | None) -> Path:
    """Return the folder for pictures."""
    return Path(PICTURES) if out is None else out.with_suffix("") if out.suffix == ".json" else out


def write(command: str, results: Any, out: Path) -> Path:
    """Write results as JSON to a file, or into a folder as ``<command>.json``; return its path.

    Raises:
        DataError: It cannot be written.
    """
    path = out if out.suffix == ".json" else out / f"{command}.json"
    from bus_toolkit.evaluation.report import write_results

    try:
        return write_results(path, {"command": command, "results": results})
    except OSError as error:
        raise DataError(f"--out: cannot write {path}: {error.strerror}. Give another path.") from error


COMMAND = Command(
    f"Ask a trained model: {', '.join(COMMANDS)}.",
    add_arguments,
    run,
    "; ".join(f"{name}: {what}" for name, what in COMMANDS.items()) + ". One image is used for several texts, and one "
    "text for several images; retrieve and classify compare every image with every text.",
)
