"""Measure configs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, add_device_flags, positive_int
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.json_text import load_json
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add configs, the measurements, and the output files."""
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="the YAML of a run, or a name")
    parser.add_argument(
        "--scope",
        choices=("model", "pair", "vision"),
        default="model",
        help="a training step; text, image and fusion of a pair; or backbone and decoder",
    )
    parser.add_argument("--batch-size", type=positive_int, default=4, metavar="N", help="images (default 4)")
    parser.add_argument(
        "--texts-per-image", type=positive_int, default=1, metavar="Q", help="texts of each image (default 1)"
    )
    parser.add_argument("--img-size", type=positive_int, metavar="N", help="pixels, in place of the config's")
    parser.add_argument(
        "--text-length", type=positive_int, default=30, metavar="N", help="tokens of a caption (default 30)"
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=5, metavar="N", help="timed rounds; medians are shown (default 5)"
    )
    add_device_flags(parser)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="default float32")
    parser.add_argument("--optimizer", action="store_true", help="count AdamW's step too (scope model)")
    parser.add_argument(
        "--baselines",
        choices=("all", "random", "none"),
        default="all",
        help="beside each selector: a random selection; all: also even pattern, pooling, smaller image at its MACs",
    )
    parser.add_argument("--results", type=Path, metavar="JSON", help='accuracy by config name: {"bus_base_4m": 0.71}')
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("work_dirs/benchmark"),
        metavar="FOLDER",
        help="of benchmark.json and .png (default work_dirs/benchmark)",
    )
    add_cfg_options(parser, "overrides for every config")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, show, write."""
    accuracy = {} if args.results is None else read_results(args.results)
    load_openmmlab()
    import torch

    from bus_toolkit.analysis.benchmark.groups import make_groups
    from bus_toolkit.analysis.benchmark.results import Settings
    from bus_toolkit.analysis.benchmark.run import measure_groups
    from bus_toolkit.analysis.benchmark.tables import benchmark_tables
    from bus_toolkit.cli.screen import wide_console
    from bus_toolkit.engine import find_device
    from bus_toolkit.evaluation.report import write_results
    from bus_toolkit.visualization.benchmark_plot import draw_benchmark

    console = wide_console()
    if args.threads:
        torch.set_num_threads(args.threads)
    settings = Settings(
        scope=args.scope,
        batch_size=args.batch_size,
        texts_per_image=args.texts_per_image,
        text_length=args.text_length,
        rounds=args.rounds,
        device=find_device(args.device, "--device"),
        dtype=args.dtype,
        optimizer=args.optimizer,
        baselines=args.baselines,
    )
    overrides = [f"model.tokenizer.max_length={args.text_length}", *args.cfg_options]
    if args.img_size:
        overrides.insert(0, f"model.backbone.img_size={args.img_size}")
    rows = []

    def report(line: str) -> None:
        console.print(line, style="dim", soft_wrap=True)

    for measured in measure_groups(make_groups(args.configs, overrides), settings, report):
        rows.append(measured.to_dict())
        console.print(f"{measured.name}: {measured.step_seconds:.3f} s a step", style="dim")
    console.print(benchmark_tables(rows, accuracy, settings.batch_size, texts_per_image=settings.texts_per_image))
    console.print(settings.describe())
    with writing(args.out, "--out"):
        written = write_results(args.out / "benchmark.json", {"settings": settings.describe(), "models": rows})
    picture = draw_benchmark(rows, accuracy, settings.samples, args.out / "benchmark.png")
    console.print(f"{written}\n{picture}", soft_wrap=True)


def read_results(path: Path) -> dict[str, float]:
    """Read accuracies by config name.

    Raises:
        ConfigError: No such file, or something else in it.
    """
    try:
        content = load_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--results: cannot read {path}: {error}. Give a JSON file.") from error
    if not isinstance(content, dict) or not all(isinstance(value, int | float) for value in content.values()):
        raise ConfigError(f'--results: {path} must hold numbers by config name, such as {{"bus_base_4m": 0.71}}.')
    return content


COMMAND = Command(
    "Measure MACs, tokens, time and memory of configs side by side.",
    add_arguments,
    run,
    "All run in one process, taking turns. Each is compared with its own backbone without reduction, and with a random "
    "selection of as many tokens. An even pattern (UniformGrid), pooling (GridPool) and a smaller image at the MACs of "
    "its training step are measured, too; a random selection costs what the even pattern costs.",
)
