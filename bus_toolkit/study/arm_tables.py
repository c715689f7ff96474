"""The results of a study with keep ratios as short Markdown tables: a table a task, a row an arm and ratio."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from bus_toolkit.study.markdown import escape_markdown, markdown_table, spread_text
from bus_toolkit.study.plan import Figure, Match, Study, Task
from bus_toolkit.study.report.curves import curve_of, is_undertrained
from bus_toolkit.study.report.runs import run_of
from bus_toolkit.study.results import JobResult
from bus_toolkit.study.table import Read, Results, on_test

Rows = dict[tuple[str, float], list[JobResult]]
_COSTS: tuple[tuple[str, int, Read], ...] = (
    ("MMAC", 1, lambda result: result.macs["inference"] / 1e6),
    ("ms", 1, lambda result: _milliseconds(result.test, "samples")),
    ("step, ms", 0, lambda result: _milliseconds(result.train, "steps")),
)
_WIDTH = 100  # columns of a screen
_COSTS_IN_WORDS = "MMAC and ms: an answer to one text about one image."
_OTHER_TEXT = "Other text: the same questions, selected for by the text of another sample."
_UNDERTRAINED = "* undertrained: the accuracy on val still rose when the training ended."


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
    parts = [f"**{escape_markdown(study.title)}**"]
    for task in study.tasks:
        if task.figures and (rows := _rows(results, task)):
            parts += [_table(study, rows, task), *_notes(rows, task)]
    return "\n\n".join(parts) + "\n"


def _table(study: Study, rows: Rows, task: Task) -> str:
    several = len({keep for _, keep in rows if keep < 1}) > 1
    heads = [task.name, *(["keep"] if several else []), *(figure.label for figure in task.figures)]
    heads += [*(["other text"] if _has_other_text(rows) else []), *(label for label, _, _ in _COSTS), "steps"]
    lines = []
    for (arm, keep), found in rows.items():
        cells = [escape_markdown(_name(study, arm, found[0])), *([f"{keep:g}"] if several else [])]
        for figure in task.figures:
            cells.append(_spread(found, on_test(figure), figure.digits))
        if _has_other_text(rows):
            first = task.figures[0]
            cells.append(_spread(found, _with_other_text(first), first.digits))
        cells += [_spread(found, read, digits) for _, digits, read in _COSTS]
        cells.append(f"{found[0].train.get('steps', 0):g}{'*' if _is_undertrained(found, task) else ''}")
        lines.append(cells)
    return markdown_table([escape_markdown(head) for head in heads], lines, aligned=True)


def _notes(rows: Rows, task: Task) -> Iterator[str]:
    """Yield what a reader of the table must know, in lines that fit a screen."""
    words = [_COSTS_IN_WORDS, *([_OTHER_TEXT] if _has_other_text(rows) else [])]
    if any(_is_undertrained(found, task) for found in rows.values()):
        words.append(_UNDERTRAINED)
    for text in (" ".join(words), _seeds(rows, task), task.note):
        if text:
            yield textwrap.fill(text, _WIDTH)


def _seeds(rows: Rows, task: Task) -> str:
    """Return over how many seeds the figures of each arm are means; empty if over as many for all."""
    numbers = {
        (arm, keep, figure.label): sum(figure.of(result.metrics) is not None for result in found)
        for (arm, keep), found in rows.items()
        for figure in task.figures
    }
    fewer = [
        f"{arm} at {keep:g}, {label}: {number}"
        for (arm, keep, label), number in numbers.items()
        if number < max(numbers.values())
    ]
    return escape_markdown(f"Means over fewer than {max(numbers.values())} seeds: {'; '.join(fewer)}.") if fewer else ""


def _rows(results: Results, task: Task) -> Rows:
    """Return the results of each arm and ratio, arms in the order of the study."""
    rows: Rows = {}
    for arm in dict.fromkeys(arm for grid in task.grids for arm in grid.arms):
        for key, result in results.items():
            if (key.task, key.arm) == (task.name, arm):
                rows.setdefault((arm, key.keep), []).append(result)
    return rows


def _name(study: Study, arm: str, result: JobResult) -> str:
    if study.arm(arm).match is not Match.IMAGE or not result.image_size:
        return arm
    height, width = result.image_size
    return f"{arm} ({width}x{height})"


def _has_other_text(rows: Rows) -> bool:
    return any(result.wrong_text for found in rows.values() for result in found)


def _is_undertrained(found: Sequence[JobResult], task: Task) -> bool:
    (metric, *_) = task.figures[0].metrics
    return bool(is_undertrained([curve_of(run_of(asdict(result), result.arm), metric) for result in found]))


def _milliseconds(timed: Mapping[str, float], of: str) -> float | None:
    return 1000 * timed["seconds"] / timed[of] if timed.get(of) and "seconds" in timed else None


def _with_other_text(figure: Figure) -> Read:
    return lambda result: figure.of(result.wrong_text or {})


def _spread(found: Sequence[JobResult], read: Read, digits: int) -> str:
    return spread_text([value for result in found if (value := read(result)) is not None], digits)
