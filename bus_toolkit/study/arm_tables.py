"""The results of a study with keep ratios as short Markdown tables: a table a task, a row an arm and ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

from bus_toolkit.study.plan import Match, Study, Task
from bus_toolkit.study.report.curves import curve_of, is_undertrained
from bus_toolkit.study.report.runs import run_of
from bus_toolkit.study.results import JobResult
from bus_toolkit.study.table import Results

Read = Callable[[JobResult], float | None]
Rows = dict[tuple[str, float], list[JobResult]]
_COSTS: tuple[tuple[str, int, Read], ...] = (
    ("MMAC an answer", 1, lambda result: result.macs["inference"] / 1e6),
    ("ms an answer", 2, lambda result: _milliseconds(result.test, "samples")),
    ("ms a step", 0, lambda result: _milliseconds(result.train, "steps")),
)


def arm_tables(study: Study, results: Results) -> str:
    """Return a table for each task that has ``figures`` and results, with its note below.

    Figures are means over the seeds, with the least and the greatest in brackets; the first one also under the text of
    another sample for the arms that were tested so. MACs are counted for one text with one image; an answer is timed in
    the test and a step in the training, both without loading data and beside other jobs, so differences of a few per
    cent mean nothing. An arm is undertrained if the validations of its first figure still rose at the end.

    Args:
        study: The study that was run.
        results: Of the jobs that finished.
    """
    parts = [f"**{study.title}**"]
    for task in study.tasks:
        if task.figures and (rows := _rows(results, task)):
            parts += ["\n".join(_table(study, rows, task)), *([task.note] if task.note else [])]
    return "\n\n".join(parts) + "\n"


def _table(study: Study, rows: Rows, task: Task) -> Iterator[str]:
    several = len({keep for _, keep in rows if keep < 1}) > 1
    under_wrong_text = any(result.wrong_text for found in rows.values() for result in found)
    heads = [task.name, *(["keep"] if several else []), *(figure.label for figure in task.figures)]
    heads += [*(["another text"] if under_wrong_text else []), *(label for label, _, _ in _COSTS), "steps"]
    yield _line(heads)
    yield f"|{' --- |' * len(heads)}"
    for (arm, keep), found in rows.items():
        cells = [_name(study, arm, found[0]), *([f"{keep:g}"] if several else [])]
        for figure in task.figures:
            cells.append(_spread(found, _mean_of(figure.metrics, figure.times), figure.digits))
        if under_wrong_text:
            first = task.figures[0]
            cells.append(_spread(found, _mean_of(first.metrics, first.times, wrong=True), first.digits))
        cells += [_spread(found, read, digits) for _, digits, read in _COSTS]
        cells.append(f"{found[0].train.get('steps', 0):g}{_mark(found, task.figures[0].metrics[0])}")
        yield _line(cells)


def _rows(results: Results, task: Task) -> Rows:
    rows: Rows = {}
    for grid in task.grids:
        for arm in grid.arms:
            for key, result in results.items():
                if (key.task, key.arm) == (task.name, arm) and result not in rows.get((arm, key.keep), []):
                    rows.setdefault((arm, key.keep), []).append(result)
    return rows


def _name(study: Study, arm: str, result: JobResult) -> str:
    if study.arm(arm).match is not Match.IMAGE or not result.image_size:
        return arm
    height, width = result.image_size
    return f"{arm}, {width} x {height} px"


def _mean_of(metrics: Sequence[str], times: float, *, wrong: bool = False) -> Read:
    def read(result: JobResult) -> float | None:
        values = result.wrong_text if wrong else result.metrics
        if values is None or not all(name in values for name in metrics):
            return None
        return statistics.fmean(values[name] for name in metrics) * times

    return read


def _milliseconds(timed: Mapping[str, float], of: str) -> float | None:
    return 1000 * timed["seconds"] / timed[of] if timed.get(of) and "seconds" in timed else None


def _spread(found: Sequence[JobResult], read: Read, digits: int) -> str:
    values = [value for result in found if (value := read(result)) is not None]
    if not values:
        return ""
    mean, least, most = (f"{value:.{digits}f}" for value in (statistics.fmean(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least} to {most})"


def _mark(found: Sequence[JobResult], metric: str) -> str:
    curves = [curve_of(run_of(asdict(result), result.arm), metric) for result in found]
    return ", undertrained" if is_undertrained(curves) else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
