"""Plan keep ratios at constant cost."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, positive_int
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.own_log import each_line_once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config, sizes and reference."""
    parser.add_argument("config", metavar="CONFIG", help="the YAML whose keep ratios are planned")
    planned = parser.add_mutually_exclusive_group(required=True)
    planned.add_argument("--img-size", metavar="N", help="pixels to plan keep ratios for: 384, or HEIGHTxWIDTH")
    planned.add_argument(
        "--smaller-image", action="store_true", help="plan the size of a smaller image, instead of keep ratios"
    )
    parser.add_argument(
        "--match", required=True, metavar="CONFIG@N", help="the reference and its pixels; may be the same CONFIG"
    )
    parser.add_argument(
        "--pass", choices=("step", "forward"), default="step", dest="work", help="the pass whose cost must match"
    )
    parser.add_argument(
        "--num-queries",
        choices=("keep", "scale"),
        default="keep",
        help="the decoder's summary length: as it is, or the same share of the tokens that reach it",
    )
    parser.add_argument(
        "--text-length", type=positive_int, metavar="N", help="tokens of a caption (default: the shorter max_length)"
    )
    parser.add_argument(
        "--texts-per-image", type=positive_int, default=1, metavar="Q", help="texts of each image (default 1)"
    )
    parser.add_argument(
        "--baselines",
        choices=("all", "none"),
        default="all",
        help="of the cost of the plan: random, even and pooled patches, a smaller image; or none, in half the time",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="else a YAML in work_dirs/plan_budget")
    add_cfg_options(parser, "overrides of CONFIG")
    parser.add_argument(
        "--match-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="overrides of the reference",
    )
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Plan, write the YAML, show."""
    size = None if args.smaller_image else parse_size("--img-size", args.img_size)
    path, reference_size = parse_match(args.match)
    if size is None and args.num_queries == "scale":
        raise ConfigError("--num-queries scale: a smaller image keeps the summary as it is, got both. Leave it out.")
    load_openmmlab()
    from bus_toolkit.analysis.budget.report import budget_table, check_target, write_plan
    from bus_toolkit.analysis.budget.resolution import ConfigVariant, plan_resolution, plan_smaller_image
    from bus_toolkit.cli.screen import wide_console
    from bus_toolkit.config.image_size import pixels

    source = ConfigVariant(args.config, args.cfg_options, size)
    name = f"{source.name}_smaller_image" if size is None else f"{source.name}_{pixels(size)}px"
    out = args.out or Path("work_dirs/plan_budget") / f"{name}.yaml"
    check_target(out)
    reference = ConfigVariant(path, args.match_options, reference_size)
    settings = {"work": args.work, "text_length": args.text_length, "texts_per_image": args.texts_per_image}
    with each_line_once():
        if size is None:
            planned = plan_smaller_image(source, reference, **settings)
        else:
            settings |= {"scale_queries": args.num_queries == "scale", "baselines": args.baselines == "all"}
            planned = plan_resolution(source, reference, **settings)
    write_plan(out, args.config, planned.config, planned.changed, planned.headlines)
    console = wide_console()
    console.print(budget_table(planned.rows, args.texts_per_image))
    for line in (*planned.headlines, *planned.notes, str(out)):
        console.print(line, soft_wrap=True)


def parse_size(flag: str, text: str) -> tuple[int, int]:
    """Return height and width of ``384`` or ``64x256``.

    Raises:
        ConfigError: It is neither.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", text):
        raise ConfigError(f"{flag}: must be pixels, a number or HEIGHTxWIDTH, got {text!r}. Write e.g. 384 or 64x256.")
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def parse_match(text: str) -> tuple[str, tuple[int, int]]:
    """Return path and size of ``CONFIG@N``.

    Raises:
        ConfigError: It has no ``@``, no path, or no size after it.
    """
    path, _, size = text.rpartition("@")
    if not path:
        raise ConfigError(
            f"--match: must be CONFIG@N, a config and its pixels, got {text!r}. Write e.g. albef/albef_base_4m@256."
        )
    return path, parse_size("--match", size)


COMMAND = Command(
    "Plan keep ratios, or a smaller image, at the cost of a reference.",
    add_arguments,
    run,
    "The keep ratios that hold a whole model's MACs at those of the reference are written as a YAML; the table has "
    "baselines of the same cost beside them. This needs no data and no weights: MACs are counted on tensors that have "
    "shapes only.",
)
