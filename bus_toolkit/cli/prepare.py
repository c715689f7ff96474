"""Check a public data set and convert it into the files that we read."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module

from bus_toolkit.cli import prepare_openclipart
from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.home import expand_home


@dataclass(frozen=True)
class Option:
    """A choice about a data set; the first one is the default."""

    name: str
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class DataSet:
    """The help texts of ``prepare`` for a data set, and its options.

    Attributes:
        title: For a person.
        recipe: Name of its :class:`~bus_toolkit.data.preparation.recipe.Recipe` in the module of its name.
        options: Its flags.
    """

    title: str
    recipe: str
    options: tuple[Option, ...] = ()


DATA_SETS = {
    "coco": DataSet(
        "COCO 2014: captions and instances",
        "COCO",
        (Option("split", ("karpathy", "official"), "of the captions: Karpathy's, or train2014 and val2014"),),
    ),
    "flickr30k": DataSet("Flickr30k: captions in Karpathy's split", "FLICKR30K"),
    "visual_genome": DataSet("Visual Genome: described regions", "VISUAL_GENOME"),
    "refcoco": DataSet(
        "RefCOCO, RefCOCO+, RefCOCOg: referring expressions",
        "REFCOCO",
        (
            Option("which", ("refcoco", "refcoco+", "refcocog"), "of the three sets; give each an --out of its own"),
            Option("split-by", ("default", "unc", "umd", "google"), "default: unc, or umd for refcocog"),
        ),
    ),
    "vqa_v2": DataSet("VQA v2: questions and answers", "VQA_V2"),
    "gqa": DataSet("GQA: balanced questions and answers", "GQA"),
    "nlvr": DataSet("NLVR: statements on drawings", "NLVR"),
    "nlvr2": DataSet("NLVR2: statements on pairs of photos", "NLVR2"),
    "cc3m": DataSet("Conceptual Captions 3M: shards of img2dataset", "CC3M"),
    "sbu": DataSet("SBU captions: shards of img2dataset", "SBU"),
    "snli_ve": DataSet("SNLI-VE: visual entailment on Flickr30k", "SNLI_VE"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add each data set with its own arguments."""
    chosen = parser.add_subparsers(dest="data_set", required=True, metavar="DATA_SET")
    for name, data_set in DATA_SETS.items():
        _add_data_set(chosen.add_parser(name, help=data_set.title, description=f"{data_set.title}."), name, data_set)
    about = prepare_openclipart.SUMMARY
    prepare_openclipart.add_arguments(chosen.add_parser("openclipart", help=about, description=f"{about}."))


def run(args: argparse.Namespace) -> None:
    """Prepare the chosen data set."""
    load_openmmlab()
    if args.data_set == "openclipart":
        prepare_openclipart.run(args)
        return
    from bus_toolkit.data.preparation.prepare import prepare_data_set

    data_set = DATA_SETS[args.data_set]
    recipe = getattr(import_module(f"bus_toolkit.data.preparation.{args.data_set}"), data_set.recipe)
    prepare_data_set(
        recipe,
        expand_home(args.root),
        expand_home(args.out),
        {option.name: getattr(args, option.name.replace("-", "_")) for option in data_set.options},
        skip_images=args.skip_images,
        any_count=args.any_count,
        force=args.force,
    )


def _add_data_set(parser: argparse.ArgumentParser, name: str, data_set: DataSet) -> None:
    parser.add_argument("root", help="its folder as downloaded; missing files are listed with their sources")
    parser.add_argument("--out", default=f"data/{name}", metavar="FOLDER", help=f"to write, default data/{name}")
    for option in data_set.options:
        parser.add_argument(f"--{option.name}", choices=option.choices, default=option.choices[0], help=option.help)
    parser.add_argument("--skip-images", action="store_true", help="do not ask for the images")
    parser.add_argument(
        "--any-count", action="store_true", help="warn instead of failing when a count differs from the published one"
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    add_debug_flag(parser)


COMMAND = Command("Check a public data set and convert it into our files.", add_arguments, run)
