"""Measure configs side by side: ``python tools/benchmark.py CONFIG... [flags]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError

# Piped output is not cut to the 80 columns that no terminal told.
CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 130)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="MACs, tokens, time and memory of models, in one process and taking turns. Each is compared with "
        "its own host without reduction; a random selection of as many tokens stands beside each selector."
    )
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="the YAML of a run")
    parser.add_argument(
        "--scope", choices=("model", "vision"), default="model", help="whole model, or backbone and decoder"
    )
    parser.add_argument("--batch-size", type=positive_int, default=4)
    parser.add_argument("--img-size", type=positive_int, help="pixels, in place of the config's")
    parser.add_argument("--text-length", type=positive_int, default=30, help="tokens of a caption (default 30)")
    parser.add_argument("--rounds", type=positive_int, default=5, help="timed rounds; medians are shown (default 5)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=positive_int, help="CPU threads")
    parser.add_argument("--optimizer", action="store_true", help="count AdamW's step too (scope model)")
    parser.add_argument("--results", type=Path, metavar="JSON", help='accuracy by config name: {"bus_base_4m": 0.71}')
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/benchmark"), help="folder for benchmark.json and .png"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides for every config")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, show, exit."""
    args = parse_args(argv)
    import torch

    from bus_toolkit.analysis.benchmark.groups import make_groups
    from bus_toolkit.analysis.benchmark.results import Settings
    from bus_toolkit.analysis.benchmark.run import measure_groups
    from bus_toolkit.analysis.benchmark.tables import benchmark_tables
    from bus_toolkit.engine import find_device
    from bus_toolkit.evaluation.report import write_results
    from bus_toolkit.visualization.benchmark_plot import draw_benchmark

    accuracy = {} if args.results is None else read_results(args.results)
    if args.threads:
        torch.set_num_threads(args.threads)
    settings = Settings(
        scope=args.scope,
        batch_size=args.batch_size,
        text_length=args.text_length,
        rounds=args.rounds,
        device=find_device(args.device, "--device"),
        dtype=args.dtype,
        optimizer=args.optimizer,
    )
    overrides = [f"model.tokenizer.max_length={args.text_length}", *args.cfg_options]
    if args.img_size:
        overrides.insert(0, f"model.backbone.img_size={args.img_size}")
    rows = []
    for found in measure_groups(make_groups(args.configs, overrides), settings):
        rows.append(found.to_dict())
        CONSOLE.print(f"{found.name}: {found.step_seconds:.3f} s a step", style="dim")
    CONSOLE.print(benchmark_tables(rows, accuracy, settings.batch_size))
    CONSOLE.print(settings.describe())
    written = write_results(args.out / "benchmark.json", {"settings": settings.describe(), "models": rows})
    picture = draw_benchmark(rows, accuracy, settings.batch_size, args.out / "benchmark.png")
    CONSOLE.print(f"{written}\n{picture}", soft_wrap=True)


def read_results(path: Path) -> dict[str, float]:
    """Read accuracies by config name.

    Raises:
        ConfigError: No such file, or something else in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--results: cannot read {path}: {error}. Give a JSON file.") from error
    if not isinstance(found, dict) or not all(isinstance(value, int | float) for value in found.values()):
        raise ConfigError(f'--results: {path} must hold numbers by config name, such as {{"bus_base_4m": 0.71}}.')
    return found


if __name__ == "__main__":
    run_cli(main)
