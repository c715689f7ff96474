"""Train and report a whole study."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int, seed
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.safe_text import safe_lines
from bus_toolkit.writing import writing

if TYPE_CHECKING:
    from bus_toolkit.study.jobs import Job
    from bus_toolkit.study.plan import Study

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a study."""
    parser.add_argument("study", metavar="STUDY", help="its YAML, such as registry_configs/_studies_/scenes_tiny.yaml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: work_dirs/<name of the study>")
    parser.add_argument("--jobs", type=positive_int, default=2, metavar="N", help="trainings at a time (default: 2)")
    parser.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="processor threads of each (default: 1)"
    )
    parser.add_argument(
        "--for", type=duration, dest="seconds", metavar="TIME", help="begin no job after this time, such as 90m or 1.5h"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATTERN",
        help="some jobs only, such as 'attribute/*/keep_0.11/seed_0', with those they start from",
    )
    parser.add_argument(
        "--tasks", nargs="+", action="extend", metavar="TASK", help="some tasks only, with those they start from"
    )
    parser.add_argument(
        "--seeds", nargs="+", action="extend", type=seed, metavar="SEED", help="other seeds than the study's"
    )
    parser.add_argument("--retry", action="store_true", help="run jobs again that have failed")
    parser.add_argument("--replace", action="store_true", help="remove results of another config, and run their jobs")
    shows = parser.add_mutually_exclusive_group()
    shows.add_argument("--dry-run", action="store_true", help="train nothing, show all jobs with their counted costs")
    shows.add_argument("--list", action="store_true", help="train nothing, show how many jobs are done, due and failed")
    shows.add_argument("--table-only", action="store_true", help="train nothing, show the finished runs")
    add_debug_flag(parser)


def duration(text: str) -> float:
    """Return the seconds of ``90m``, ``1.5h``, ``45s`` or a number of seconds; the ``type`` of an argument."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a number with s, m or h, such as 90m, got {text!r}")
    return float(match[1]) * _SECONDS.get(match[2], 1)


def run(args: argparse.Namespace) -> int:
    """Run the jobs that have not finished, show the table; 1 if results are missing."""
    load_openmmlab()
    from bus_toolkit.study.arm_tables import arm_tables
    from bus_toolkit.study.jobs import all_jobs, needed
    from bus_toolkit.study.planner import Planner
    from bus_toolkit.study.reading import read_study
    from bus_toolkit.study.run import RunRule, results_of, run_jobs
    from bus_toolkit.study.states import states_of
    from bus_toolkit.study.table import study_table

    study = read_study(args.study).only(args.tasks, args.seeds)
    every_job = all_jobs(study)
    if idle := [pattern for pattern in args.only if not needed(every_job, (pattern,))]:
        raise ConfigError(f"--only: no job of the study matches {' '.join(idle)}. See --list.")
    jobs = needed(every_job, tuple(args.only))
    out = args.out or Path("work_dirs") / Path(args.study).stem
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: must be a folder, got the file {out}.")
    with writing(out, "--out"):
        out.mkdir(parents=True, exist_ok=True)
    if args.dry_run or args.list:
        _show(study, jobs, out, args)
        return 0
    if args.table_only:
        results = results_of(states_of(jobs, Planner(study, jobs, out), out))
    else:
        worker = (sys.executable, "-m", "bus_toolkit.cli.study_job")
        rule = RunRule(worker, args.jobs, args.threads, args.seconds, retry=args.retry, replace=args.replace)
        results = run_jobs(study, jobs, out, rule, _print)
    if not study.has_ratios or any(task.figures for task in study.tasks):
        table = arm_tables(study, results) if study.has_ratios else study_table(study, results)
        print(f"\n{table}")
        with writing(out, "--out"):
            (out / "table.md").write_text(table, encoding="utf-8")
        print(out / "table.md")
    _print(f"{len(results)} of {len(jobs)} jobs are done, in {out}.")
    return int(len(results) < len(jobs))


def _show(study: Study, jobs: Sequence[Job], out: Path, args: argparse.Namespace) -> None:
    from bus_toolkit.study.listing import deviations, job_lines, summary
    from bus_toolkit.study.planner import Planner
    from bus_toolkit.study.states import states_of

    states = states_of(jobs, Planner(study, jobs, out), out)
    if args.dry_run:
        lines = job_lines(states, study.tolerance)
    else:
        lines = [f"{state.status.value:24} {key.name}" for key, state in states.items()]
    for line in (*lines, *deviations(states.values(), study.tolerance), *summary(states, args.jobs)):
        print(safe_lines(line))


def _print(line: str) -> None:
    print(safe_lines(line), flush=True)


COMMAND = Command(
    "Train and report arms x keep ratios x tasks x seeds.",
    add_arguments,
    run,
    "Every arm of the study is trained on every task with every seed, at the counted cost of a reference arm, and "
    "evaluated on its test split. Finished trainings are not repeated, so an interrupted study can be continued.",
)
