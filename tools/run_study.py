"""Train and report a whole study: ``python tools/run_study.py STUDY [flags]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.cli.run import positive_int, run_cli
from bus_toolkit.errors import ConfigError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Train every system of a study on every task with every seed, evaluate each on its test split, and "
        "print one table. What has finished is not run again, so that an interrupted study goes on."
    )
    parser.add_argument("study", metavar="STUDY", help="e.g. registry_configs/_studies_/scenes_tiny.yaml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: work_dirs/<name of the study>")
    parser.add_argument("--jobs", type=positive_int, default=2, help="trainings at a time (default: 2)")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="some tasks only, with those they start from")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="other seeds than the study's")
    parser.add_argument("--table-only", action="store_true", help="train nothing, show what has finished")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, show; exit code 1 where results are missing."""
    args = parse_args(argv)
    from bus_toolkit.study.plan import read_study
    from bus_toolkit.study.run import collect, run_study
    from bus_toolkit.study.table import study_table

    study = read_study(args.study).only(args.tasks, args.seeds)
    out = args.out or Path("work_dirs") / Path(args.study).stem
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: must be a folder, got the file {out}.")
    tell = lambda line: print(line, flush=True)  # noqa: E731
    results = collect(study, out, tell) if args.table_only else run_study(study, out, jobs=args.jobs, tell=tell)
    table = study_table(study, results)
    print(f"\n{table}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(table, encoding="utf-8")
    print(out / "table.md")
    return int(len(results) < sum(len(task.seeds) for task in study.tasks) * len(study.systems))


if __name__ == "__main__":
    run_cli(main)
