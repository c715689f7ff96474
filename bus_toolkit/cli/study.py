"""Train and report a whole study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int, seed
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a study."""
    parser.add_argument("study", metavar="STUDY", help="its YAML, such as registry_configs/_studies_/scenes_tiny.yaml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: work_dirs/<name of the study>")
    parser.add_argument("--jobs", type=positive_int, default=2, metavar="N", help="trainings at a time (default: 2)")
    parser.add_argument(
        "--tasks", nargs="+", action="extend", metavar="TASK", help="some tasks only, with those they start from"
    )
    parser.add_argument(
        "--seeds", nargs="+", action="extend", type=seed, metavar="SEED", help="other seeds than the study's"
    )
    parser.add_argument("--table-only", action="store_true", help="train nothing, show the finished runs")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Run the jobs that have not finished, show the table; 1 if results are missing."""
    load_openmmlab()
    from bus_toolkit.study.plan import read_study
    from bus_toolkit.study.run import collect, run_study
    from bus_toolkit.study.table import study_table

    study = read_study(args.study).only(args.tasks, args.seeds)
    out = args.out or Path("work_dirs") / Path(args.study).stem
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: must be a folder, got the file {out}.")
    if args.table_only:
        results = collect(study, out, _print)
    else:
        worker = (sys.executable, "-m", "bus_toolkit.cli.study_job")
        results = run_study(study, out, jobs=args.jobs, worker=worker, report=_print)
    table = study_table(study, results)
    print(f"\n{table}")
    with writing(out, "--out"):
        out.mkdir(parents=True, exist_ok=True)
        (out / "table.md").write_text(table, encoding="utf-8")
    print(out / "table.md")
    return int(len(results) < sum(len(task.seeds) for task in study.tasks) * len(study.systems))


def _print(line: str) -> None:
    print(line, flush=True)


COMMAND = Command(
    "Train and report systems x tasks x seeds.",
    add_arguments,
    run,
    "Every system of the study is trained on every task with every seed and evaluated on its test split; one table "
    "shows all. Finished trainings are not repeated, so an interrupted study can be continued.",
)
