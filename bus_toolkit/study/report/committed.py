"""The two files of a study's committed results, read together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.study.report.runs import FILE as RUNS
from bus_toolkit.study.report.runs import Run, RunKey, describe_run, read_runs
from bus_toolkit.study.report.samples import FILE as SAMPLES
from bus_toolkit.study.report.samples import OWN, Verdicts, read_verdicts


def read_committed(folder: Path) -> tuple[Mapping[RunKey, Run], Mapping[str, Verdicts]]:
    """Return the runs of a folder of results, and the verdicts on their answers; both empty where there are none.

    Raises:
        DataError: A file is damaged, or the two are of different reports, as after a stop between the writing of them.
    """
    runs, verdicts = read_runs(folder), read_verdicts(folder)
    judged = {
        (task, *column[:3]) for task, of_task in verdicts.items() for column in of_task.columns if column.text == OWN
    }
    if judged != runs.keys():
        first = min(judged ^ runs.keys())
        has, has_not = (RUNS, SAMPLES) if first in runs else (SAMPLES, RUNS)
        raise DataError(
            f"{folder}: {has} has {describe_run(first)}, and {has_not} has not. Both files must be of one report: "
            "collect the runs again, or take both back."
        )
    return runs, verdicts
