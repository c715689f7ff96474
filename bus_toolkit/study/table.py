"""The results of a study without keep ratios as Markdown: each figure with its spread, the gain of the first arm."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.markdown import escape_markdown, markdown_table, spread_text
from bus_toolkit.study.plan import WHOLE, Figure, Study, Task
from bus_toolkit.study.results import JobResult

_NOTHING = "-"
Read = Callable[[JobResult], float | None]
Results = Mapping[JobKey, JobResult]
Values = Mapping[int, float]
"""Of a figure, by seed."""


def study_table(study: Study, results: Results) -> str:
    """Return the table, and below it the figures in which the first arm loses.

    Figures are means over the seeds, with the least and the greatest in brackets; differences and ratios of the first
    arm and each other one are over the seeds that both have. MACs are those of a training step per sample
    (forward and backward passes, all heads); samples per second are those of the training, with arms running side by
    side.

    Args:
        study: The study that was run.
        results: Of the jobs that finished.
    """
    systems = [arm.name for arm in study.arms]
    first, *others = systems
    heads = ["task", "figure", *systems, *(f"{first} against {other}" for other in others), "no skill"]
    rows: list[list[str]] = []
    losses, gaps = [], []
    for task in study.tasks:
        for figure in task.figures:
            values = {s: _values(results, task, s, on_test(figure)) for s in systems}
            pairs = [_means_of_both(values[first], values[other]) for other in others]
            differences = [f"{pair[0] - pair[1]:+.{figure.digits}f}" if pair else _NOTHING for pair in pairs]
            cells = [_spread(values[s], figure.digits) for s in systems]
            rows.append([task.name, figure.label, *cells, *differences, _baseline(study, results, task, figure)])
            losses += [
                f"{task.name} {figure.label} ({difference})"
                for difference, pair in zip(differences, pairs, strict=True)
                if pair and pair[0] < pair[1]
            ]
            gaps += [
                f"{task.name} {system} seed {seed} {figure.label}"
                for system in systems
                for seed in task.seeds
                if JobKey(task.name, system, WHOLE, seed) in results and seed not in values[system]
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
    ] + gaps
    if missing:
        notes.append(f"Missing: {'; '.join(missing)}. Differences and ratios are over the seeds that both arms have.")
    table = markdown_table(*_escaped(heads, rows))
    notes = [*map(escape_markdown, notes), *(task.note for task in study.tasks if task.note)]
    return "\n".join([f"**{escape_markdown(study.title)}**", "", table, "", *notes, ""])


def _escaped(heads: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    first, *others = [[escape_markdown(cell) for cell in row] for row in (heads, *rows)]
    return first, others


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


def _values(results: Results, task: Task, system: str, read: Read) -> Values:
    found = {seed: results.get(JobKey(task.name, system, WHOLE, seed)) for seed in task.seeds}
    values = {seed: read(result) for seed, result in found.items() if result is not None}
    return {seed: value for seed, value in values.items() if value is not None}


def _baseline(study: Study, results: Results, task: Task, figure: Figure) -> str:
    """Return the score without any skill: a property of the data, so any finished job contains it."""
    for system in (arm.name for arm in study.arms):
        for seed in task.seeds:
            result = results.get(JobKey(task.name, system, WHOLE, seed))
            if result is not None and figure.baseline is not None and figure.baseline in result.metrics:
                return f"{result.metrics[figure.baseline] * figure.times:.{figure.digits}f}"
    return ""


def _spread(values: Values, digits: int) -> str:
    return spread_text(list(values.values()), digits) or _NOTHING


def _means_of_both(ours: Values, theirs: Values) -> tuple[float, float] | None:
    """Return two means over the seeds that both have: another start is worth points, too; ``None`` without any."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    return statistics.fmean(ours[seed] for seed in seeds), statistics.fmean(theirs[seed] for seed in seeds)


def _ratio(ours: Values, theirs: Values) -> str:
    means = _means_of_both(ours, theirs)
    return f"x {means[0] / means[1]:.2f}" if means and means[1] else _NOTHING
