"""From the results of a study to tables, plots and a leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.safe_text import one_line
from bus_toolkit.writing import make_writable_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a report."""
    parser.add_argument("study", metavar="STUDY", help="its YAML, with a section `report`")
    parser.add_argument(
        "--collect",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="OUT",
        help="first add the finished runs below these folders, or the committed runs in them",
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="committed results (default: results/<name> beside the YAML)"
    )
    parser.add_argument(
        "--replace", action="store_true", help="with --collect: replace committed runs that have another content"
    )
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Collect runs if asked to, draw everything again, print what was written."""
    if args.replace and not args.collect:
        raise ConfigError("--replace: has no effect without --collect. Give the folder of the runs.")
    load_openmmlab()
    from bus_toolkit.study.report.collect import collect_runs
    from bus_toolkit.study.report.runs import describe_run
    from bus_toolkit.study.report.settings import read_settings
    from bus_toolkit.study.report.write import write_report

    settings = read_settings(args.study)
    results = args.results or expand_home(args.study).parent / "results" / settings.name
    if args.collect or results.is_dir():
        make_writable_folder(results, "--results")
    for out in args.collect:
        changed = collect_runs(
            out, results, metrics=settings.samples, recall_at=settings.recall_at, replacing=args.replace
        )
        print(f"{out}: {len(changed)} runs added to {results}")
        for key in changed:
            print(one_line(f"  {describe_run(key)}"))
    for file in write_report(settings, results):
        print(file)
    return 0


COMMAND = Command(
    "Turn a study's results into tables, plots and a leaderboard.",
    add_arguments,
    run,
    "Everything is drawn from the committed results alone, runs.jsonl and samples.jsonl.gz, so drawing it again "
    "changes nothing. --collect adds finished runs to them, from as many sessions and machines as they ran in.",
)
