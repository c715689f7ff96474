"""Add the finished runs below a study's folder to what is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_toolkit.errors import DataError
from bus_toolkit.folder_locks import alone_in
from bus_toolkit.json_text import parse_json
from bus_toolkit.study.report.committed import read_committed
from bus_toolkit.study.report.properties import properties_of
from bus_toolkit.study.report.runs import FILE as RUNS
from bus_toolkit.study.report.runs import Run, RunKey, committed_line, describe_run, read_runs, run_of, write_runs
from bus_toolkit.study.report.samples import (
    OTHER,
    OWN,
    Column,
    Question,
    Verdicts,
    read_samples,
    read_verdicts,
    write_verdicts,
)
from bus_toolkit.study.results import RESULT, SAMPLES, SAMPLES_WRONG
from bus_toolkit.text_files import read_utf8

CONFIG = "config.yaml"
Answered = tuple[Mapping[Question, tuple[str, str | None]], NDArray[np.bool_]]
"""Questions, and which of them were answered rightly."""


@dataclass(frozen=True)
class _Piece:
    """A run to add, and what reads its answers by what its selection read; ``path`` is for messages."""

    run: Run
    path: Path
    answers: Callable[[], dict[str, Answered]]


def collect_runs(
    out: Path,
    committed: Path,
    *,
    metrics: Mapping[str, str] | None = None,
    recall_at: Mapping[str, int] | None = None,
    replacing: bool = False,
) -> list[RunKey]:
    """Add each finished run below ``out`` to the files in ``committed``; return those that are new or replaced.

    Pieces of a study that ran in several places are collected one by one, also by several processes at once. A run that
    is committed already with the same content changes nothing.

    Args:
        out: Folder of the study's runs, or a folder of committed results.
        committed: Folder of ``runs.jsonl`` and ``samples.jsonl.gz``.
        metrics: By task, the metric whose verdicts count; not needed where only one says what is correct.
        recall_at: By task, the rank up to which a query counts as answered; committed results keep their verdicts.
        replacing: Whether a run takes the place of a committed one with another content.

    Raises:
        DataError: There are no runs, a file is damaged, a run is committed or below ``out`` with another content, or it
            was tested on other questions than the runs of its task before it.
    """
    pieces = _committed(out) if (out / RUNS).is_file() else _finished(out, metrics or {}, recall_at or {})
    with alone_in(committed):
        return _add(pieces, committed, replacing)


def _add(pieces: Iterator[_Piece], committed: Path, replacing: bool) -> list[RunKey]:
    runs, verdicts = read_runs(committed), read_verdicts(committed)
    changed: list[RunKey] = []
    found: dict[RunKey, Path] = {}
    for piece in pieces:
        run = piece.run
        known, first = runs.get(run.key), found.setdefault(run.key, piece.path)
        if known is not None and committed_line(known) == committed_line(run):
            continue
        if first != piece.path:
            raise DataError(
                f"{piece.path}: {describe_run(run.key)} is in {first}, too, with another content. Collect the folder "
                "that holds the right one alone."
            )
        if known is not None and not replacing:
            raise DataError(
                f"{piece.path}: {describe_run(run.key)} is committed in {committed} already, with another content. "
                "Keep one of the two: collect with --replace, or leave this folder out."
            )
        runs[run.key] = run
        verdicts[run.task] = _with_run(verdicts.get(run.task), piece)
        changed.append(run.key)
    # Last what says that a run is committed: if the first of the two files cannot be written, nothing is lost.
    write_verdicts(committed, verdicts)
    write_runs(committed, runs.values())
    return changed


def _finished(out: Path, metrics: Mapping[str, str], recall_at: Mapping[str, int]) -> Iterator[_Piece]:
    """Yield each finished run that has been tested question by question."""
    files = sorted(out.rglob(RESULT)) if out.is_dir() else []
    finished = [file.parent for file in files if (file.parent / SAMPLES).is_file()]
    if not finished:
        raise DataError(f"{out}: no finished run ({RESULT} with {SAMPLES}) is below it. Run the study there first.")
    for folder in finished:
        file = folder / RESULT
        try:
            run = run_of(parse_json(read_utf8(file)), str(file))
        except ValueError as error:
            raise DataError(f"{file}: is no JSON object: {error}. Run it again.") from error
        if not run.properties and (folder / CONFIG).is_file():
            properties = properties_of(folder / CONFIG)
            run = replace(run, properties=properties, line={**run.line, "properties": properties})
        yield _Piece(run, folder, partial(_answers, folder, metrics.get(run.task, ""), recall_at.get(run.task)))


def _answers(folder: Path, metric: str, recall_at: int | None) -> dict[str, Answered]:
    files = {OWN: folder / SAMPLES, OTHER: folder / SAMPLES_WRONG}
    return {text: read_samples(file, metric, recall_at) for text, file in files.items() if file.is_file()}


def _committed(folder: Path) -> Iterator[_Piece]:
    """Yield each run of a folder of committed results."""
    runs, verdicts = read_committed(folder)
    for run in runs.values():
        of_task = verdicts[run.task]
        own = {column.text: right for column, right in of_task.columns.items() if column[:3] == run.key[1:]}
        answers = {text: (of_task.questions, right) for text, right in own.items()}
        yield _Piece(run, folder, partial(dict, answers))


def _with_run(known: Verdicts | None, piece: _Piece) -> Verdicts:
    """Return the verdicts of a task with those of one more run."""
    run = piece.run
    columns = {} if known is None else {c: v for c, v in known.columns.items() if c[:3] != run.key[1:]}
    questions = known.questions if known is not None and columns else None
    for text, (own, right) in piece.answers().items():
        if questions is not None and own != questions:
            differing = min(key for key in {*own, *questions} if own.get(key) != questions.get(key))
            raise DataError(
                f"{piece.path}: was tested on other questions than the runs of {run.task} before it "
                f"({len(own)} and {len(questions)} questions; {differing.id!r} differs). "
                "Test all runs of a task on the same split."
            )
        questions = own
        columns[Column(run.arm, run.keep, run.seed, text)] = right
    assert questions is not None, "a run that is collected has its answers"
    return Verdicts(questions, columns)
