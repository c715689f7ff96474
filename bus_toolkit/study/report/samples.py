"""Which run answered which question rightly, as committed: ``samples.jsonl.gz``.

Its first line is a header, ``{"runs": {TASK: [[ARM, KEEP, SEED, TEXT], ...]}}``, where TEXT is ``own`` or ``other``:
what the selection read at test. Each other line is a question, ``{"task", "kind", "id", "image", "answer",
"correct"}``: character i of ``correct`` is 1 if run i of the task's list was right.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.sample_verdicts import Question, read_lines
from bus_toolkit.json_text import dump_json
from bus_toolkit.writing import whole_file

FILE = "samples.jsonl.gz"
OWN, OTHER = "own", "other"
_Row = tuple[str, str | None, str]
"""Image, answer, and a mark for each run."""


class Column(NamedTuple):
    """One run under one kind of text."""

    arm: str
    keep: float
    seed: int
    text: str


@dataclass(frozen=True)
class Verdicts:
    """The answers of all runs of a task to its questions.

    Attributes:
        questions: Each question to its image and its answer (``None`` if that is no text).
        columns: Each run to its verdicts, bool (N,), in the order of the questions.
    """

    questions: Mapping[Question, tuple[str, str | None]]
    columns: Mapping[Column, NDArray[np.bool_]]


def read_samples(
    file: Path, metric: str = "", recall_at: int | None = None
) -> tuple[dict[Question, tuple[str, str | None]], NDArray[np.bool_]]:
    """Return the questions of one run, sorted, and which of them it answered rightly.

    Args:
        file: Per-sample lines as the evaluation writes them, compressed.
        metric: Whose lines count; empty is the only metric that says what is correct.
        recall_at: The rank up to which a query of a retrieval counts as answered; ``None`` for ``correct`` as it is.

    Raises:
        DataError: The file is damaged, a field is missing, a question is there twice, or no or several metrics say
            what is correct.
    """
    lines = [(number, line) for number, line in read_lines(file) if isinstance(line, dict) and "correct" in line]
    metrics = sorted({str(line.get("metric", "")) for _, line in lines})
    if (metric and metric not in metrics) or (not metric and len(metrics) != 1):
        raise DataError(
            f"{file}: verdicts of one metric are needed, got those of {', '.join(metrics) or 'none'}"
            f"{f' and not of {metric}' if metric else ''}. Name one under report.samples of the study, by task."
        )
    rows: dict[Question, tuple[str, str | None, bool]] = {}
    for number, line in lines:
        if metric and line.get("metric") != metric:
            continue
        key, row = _row(line, recall_at, f"{file}, line {number}")
        if key in rows:
            raise DataError(f"{file}, line {number}: the question {key.id!r} of kind {key.kind!r} is there twice.")
        rows[key] = row
    questions = {key: rows[key][:2] for key in sorted(rows)}
    return questions, np.array([rows[key][2] for key in questions], bool)


def _row(line: dict[str, Any], recall_at: int | None, location: str) -> tuple[Question, tuple[str, str | None, bool]]:
    try:
        answer = line.get("answer")
        shown = str(answer) if isinstance(answer, str | int) else None
        right = _verdict(line["correct"]) if recall_at is None else int(line["rank"]) <= recall_at
        return Question(str(line["kind"]), str(line["id"])), (str(line["image"]), shown, right)
    except (KeyError, ValueError, TypeError) as error:
        verdict = "correct (0 or 1)" if recall_at is None else "rank, which report.recall_at reads"
        raise DataError(f"{location}: needs id, image, kind and {verdict}, got {line!r}. Test it again.") from error


def read_verdicts(folder: Path) -> dict[str, Verdicts]:
    """Return the committed verdicts of each task; empty if there are none yet.

    Raises:
        DataError: The file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    lines = (line for _, line in read_lines(file))
    try:
        header = next(lines)["runs"]
        columns = {task: [Column(str(a), float(k), int(s), str(t)) for a, k, s, t in header[task]] for task in header}
        if twice := [column for of_task in columns.values() for column in of_task if of_task.count(column) > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        rows: dict[str, dict[Question, _Row]] = {task: {} for task in columns}
        for line in lines:
            task, marks, question = line["task"], line["correct"], Question(line["kind"], line["id"])
            if len(marks) != len(columns[task]) or {*marks} - {*"01"}:
                raise ValueError(f"correct must be 0 or 1 for each of {len(columns[task])} runs, got {marks!r}")
            if question in rows[task]:
                raise ValueError(f"the question {question.id!r} of kind {question.kind!r} is there twice")
            rows[task][question] = (line["image"], line["answer"], marks)
        return {task: _verdicts(columns[task], rows[task]) for task in columns}
    except (StopIteration, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: is damaged, {type(error).__name__}: {error}. Collect the runs again.") from error


def _verdicts(columns: list[Column], rows: Mapping[Question, _Row]) -> Verdicts:
    """Return the verdicts of a task; questions are sorted, as those of a run are, whatever their order in the file."""
    order = sorted(rows)
    marks = "".join(rows[question][2] for question in order)
    marks_NC = np.frombuffer(marks.encode("ascii"), np.uint8).reshape(len(rows), len(columns))
    questions = {question: rows[question][:2] for question in order}
    return Verdicts(questions, dict(zip(columns, (marks_NC == ord("1")).T, strict=True)))


def write_verdicts(folder: Path, verdicts: Mapping[str, Verdicts]) -> None:
    """Write ``samples.jsonl.gz``; equal verdicts give an equal file."""
    columns = {task: sorted(verdicts[task].columns) for task in sorted(verdicts)}
    lines = [dump_json({"runs": columns})]
    for task, order in columns.items():
        right_NC = np.stack([verdicts[task].columns[column] for column in order], axis=1)
        for (key, (image, answer)), right_C in zip(verdicts[task].questions.items(), right_NC, strict=True):
            marks = (right_C + np.uint8(ord("0"))).astype(np.uint8).tobytes().decode()
            line = {"task": task, "kind": key.kind, "id": key.id, "image": image, "answer": answer, "correct": marks}
            lines.append(dump_json(line, separators=(",", ":")))
    # Without a name and a time in its head, so that the same content gives the same bytes.
    with (
        whole_file(folder / FILE) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=9) as packed,
    ):
        packed.write("".join(f"{line}\n" for line in lines).encode())


def _verdict(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)
