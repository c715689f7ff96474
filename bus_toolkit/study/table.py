"""The results of a study without keep ratios as Markdown: each figure with its spread, the gain of the first arm."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.markdown import markdown_table, spread_text
from bus_toolkit.study.plan import WHOLE, Figure, Study, Task
from bus_toolkit.study.results import JobResult

_NOTHING = "-"
Read = Callable[[JobResult], float | None]
Results = Mapping[JobKey, JobResult]


def study_table(study: Study, results: Results) -> str:
    """Return the table, and below it the figures in which the first arm loses.

    Figures are means over the seeds, with the least and the greatest in brackets; the difference is that of the means
    of the first arm and of each other one. MACs are those of a training step per sample (forward and backward
    passes, all heads); samples per second are those of the training, with arms running side by side.

    Args:
        study: The study that was run.
        results: Of the jobs that finished.
    """
    systems = [arm.name for arm in study.arms]
    first, *others = systems
    heads = ["task", "figure", *systems, *(f"{first} against {other}" for other in others), "no skill"]
    rows, losses = [], []
    for task in study.tasks:
        for figure in task.figures:
            values = {s: _values(results, task, s, on_test(figure)) for s in systems}
            differences = [_difference(values[first], values[other], figure.digits) for other in others]
            cells = [_spread(values[s], figure.digits) for s in systems]
            rows.append([task.name, figure.label, *cells, *differences, _baseline(study, results, task, figure)])
            losses += [
                f"{task.name} {figure.label} ({difference})"
                for difference, other in zip(differences, others, strict=True)
                if _mean(values[first]) < _mean(values[other])
            ]
        rows += _costs(study, results, task)
    notes = [f"{_seeds(study)}; mean (least to greatest)."]
    notes.append(f"{first} loses: {'; '.join(losses)}." if losses else f"{first} loses in no figure.")
    missing = [
        f"{task.name} {system} seed {seed}"
        for task in study.tasks
        for system in systems
        for seed in task.seeds
        if JobKey(task.name, system, WHOLE, seed) not in results
    ]
    if missing:
        notes.append(f"Missing: {'; '.join(missing)}.")
    notes += [task.note for task in study.tasks if task.note]
    return "\n".join([f"**{study.title}**", "", markdown_table(heads, rows), "", *notes, ""])


def _seeds(study: Study) -> str:
    """Return which tasks were run with which seeds."""
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for task in study.tasks:
        by_seeds.setdefault(task.seeds, []).append(task.name)
    return "; ".join(f"{', '.join(names)}: seeds {', '.join(map(str, seeds))}" for seeds, names in by_seeds.items())


def _costs(study: Study, results: Results, task: Task) -> Iterator[list[str]]:
    """Yield the rows of MACs and speed, whose last columns are ratios."""
    first, *others = systems = [arm.name for arm in study.arms]
    for label, read, digits in (
        ("MMAC a sample (step)", lambda result: result.macs["step"] / 1e6, 0),
        ("samples/s (training)", lambda result: result.train["samples_per_second"], 1),
    ):
        values = {s: _values(results, task, s, read) for s in systems}
        ratios = [_ratio(values[first], values[other]) for other in others]
        yield [task.name, label, *(_spread(values[s], digits) for s in systems), *ratios, ""]


def on_test(figure: Figure) -> Read:
    """Return what reads a figure of the evaluation of a result."""
    return lambda result: figure.of(result.metrics)


def _values(results: Results, task: Task, system: str, read: Read) -> list[float]:
    keys = (JobKey(task.name, system, WHOLE, seed) for seed in task.seeds)
    values = (read(results[key]) for key in keys if key in results)
    return [value for value in values if value is not None]


def _baseline(study: Study, results: Results, task: Task, figure: Figure) -> str:
    """Return the score without any skill: a property of the data, so any finished job contains it."""
    for system in (arm.name for arm in study.arms):
        for seed in task.seeds:
            result = results.get(JobKey(task.name, system, WHOLE, seed))
            if result is not None and figure.baseline is not None and figure.baseline in result.metrics:
                return f"{result.metrics[figure.baseline] * figure.times:.{figure.digits}f}"
    return ""


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _spread(values: list[float], digits: int) -> str:
    return spread_text(values, digits) or _NOTHING


def _difference(ours: list[float], theirs: list[float], digits: int) -> str:
    return f"{_mean(ours) - _mean(theirs):+.{digits}f}" if ours and theirs else _NOTHING


def _ratio(ours: list[float], theirs: list[float]) -> str:
    return f"x {_mean(ours) / _mean(theirs):.2f}" if ours and any(theirs) else _NOTHING
