"""Measure what a reduced vision-language model of transformers costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_cfg_options, add_debug_flag, add_device_flags, positive_int
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config, sizes, device and output folder."""
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="a YAML of model, images and arms, or a name such as _huggingface_/qwen2_5_vl_0.5b",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        nargs="+",
        default=[1, 4],
        metavar="N",
        help="prompts at a time; each number is measured (default 1 4)",
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=5, metavar="N", help="rounds that each run all arms (default 5)"
    )
    parser.add_argument(
        "--new-tokens", type=positive_int, default=32, metavar="N", help="tokens of an answer, 2 or more (default 32)"
    )
    add_device_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("work_dirs/benchmark_vlm"),
        metavar="FOLDER",
        help="of benchmark_vlm.json and .md (default work_dirs/benchmark_vlm)",
    )
    add_cfg_options(parser, "overrides of CONFIG, e.g. arms.FastV.selectors.0.keep_ratio=0.5")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, show, write."""
    if args.new_tokens < 2:
        raise ConfigError(f"--new-tokens: must be 2 or more, since later tokens are timed too, got {args.new_tokens}.")
    load_openmmlab(announced=True)
    import torch

    from bus_toolkit.cli.benchmark_vlm_tables import heading, tables
    from bus_toolkit.cli.screen import wide_console
    from bus_toolkit.engine import find_device
    from bus_toolkit.evaluation.report import write_results
    from bus_toolkit.huggingface.loading import load_model
    from bus_toolkit.vlm_benchmark.made_up_inputs import check_size
    from bus_toolkit.vlm_benchmark.measure import measure
    from bus_toolkit.vlm_benchmark.plan import read_plan
    from bus_toolkit.vlm_benchmark.results import Settings
    from bus_toolkit.writing import write_whole

    if args.threads:
        torch.set_num_threads(args.threads)
    settings = Settings(args.new_tokens, args.rounds, find_device(args.device, "--device"))
    plan = read_plan(args.config, args.cfg_options)
    torch.manual_seed(0)
    model = load_model(**plan.model).to(settings.device)
    for size in plan.image_sizes:
        check_size(model, size)
    console = wide_console()
    console.print(described := heading(model, plan, settings), soft_wrap=True)
    rows, shown = [], [described]
    for size in plan.image_sizes:
        for batch_size in args.batch_size:
            measured = measure(model, plan, size, batch_size, settings)
            rows += [one.to_dict() for one in measured]
            shown.append(tables(measured, settings))
            console.print(f"\n{shown[-1]}", soft_wrap=True, markup=False, highlight=False)
    with writing(args.out, "--out"):
        written = write_results(args.out / "benchmark_vlm.json", {"settings": described, "arms": rows})
        write_whole(args.out / "benchmark_vlm.md", "\n\n".join(shown) + "\n")
    console.print(f"{written}\n{written.with_suffix('.md')}", soft_wrap=True)


COMMAND = Command(
    "Measure what a reduced vision-language model of transformers costs.",
    add_arguments,
    run,
    "Time to the first token, tokens a second after it, the whole answer, KV cache, peak memory and counted MACs of "
    "each reduction, beside the model as it is, all hooks with nothing dropped, a random choice, an even pattern and a "
    "smaller image. All take turns in one process; images are noise and words are random, so no data is needed.",
)
