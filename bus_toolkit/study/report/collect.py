"""Add the finished runs below a study's folder to what is committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import parse_json
from bus_toolkit.study.report.properties import properties_of
from bus_toolkit.study.report.runs import Run, RunKey, committed_line, describe_run, read_runs, run_of, write_runs
from bus_toolkit.study.report.verdicts import (
    OTHER,
    OWN,
    Column,
    Verdicts,
    read_samples,
    read_verdicts,
    write_verdicts,
)
from bus_toolkit.text_files import read_utf8

RESULT, SAMPLES, WRONG_SAMPLES, CONFIG = "result.json", "samples.jsonl.gz", "samples_wrong.jsonl.gz", "config.yaml"


def collect_runs(
    out: Path, committed: Path, *, metrics: Mapping[str, str] | None = None, replacing: bool = False
) -> list[RunKey]:
    """Add each finished run below ``out`` to the files in ``committed``; return those that are new or replaced.

    Pieces of a study that ran in several places are collected one by one. A run that is committed already with the
    same content changes nothing.

    Args:
        out: Folder of the study's runs.
        committed: Folder of ``runs.jsonl`` and ``samples.jsonl.gz``.
        metrics: By task, the metric whose verdicts count; not needed where only one says what is correct.
        replacing: Whether a run takes the place of a committed one with another content.

    Raises:
        DataError: There are no runs, a file is damaged, a run is committed with another content, or it was tested on
            other questions than the runs of its task before it.
    """
    runs, verdicts = read_runs(committed), read_verdicts(committed)
    changed = []
    for folder, run in _finished(out):
        known = runs.get(run.key)
        if known is not None and committed_line(known) == committed_line(run):
            continue
        if known is not None and not replacing:
            raise DataError(
                f"{folder}: {describe_run(run.key)} is committed in {committed} already, with another content. "
                "Keep one of the two: collect with --replace, or leave this folder out."
            )
        runs[run.key] = run
        verdicts[run.task] = _with_run(verdicts.get(run.task), run, folder, (metrics or {}).get(run.task, ""))
        changed.append(run.key)
    write_runs(committed, runs.values())
    write_verdicts(committed, verdicts)
    return changed


def _finished(out: Path) -> Iterator[tuple[Path, Run]]:
    """Yield the folder and the run of each finished run that has been tested question by question."""
    files = sorted(out.rglob(RESULT)) if out.is_dir() else []
    finished = [file for file in files if (file.parent / SAMPLES).is_file()]
    if not finished:
        raise DataError(f"{out}: no finished run ({RESULT} with {SAMPLES}) is below it. Run the study there first.")
    for file in finished:
        try:
            run = run_of(parse_json(read_utf8(file)), str(file))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}: is no JSON object: {error}. Run it again.") from error
        config = file.parent / CONFIG
        if not run.properties and config.is_file():
            properties = properties_of(config)
            run = replace(run, properties=properties, line={**run.line, "properties": properties})
        yield file.parent, run


def _with_run(known: Verdicts | None, run: Run, folder: Path, metric: str) -> Verdicts:
    """Return the verdicts of a task with those of one more run."""
    columns = {} if known is None else {c: v for c, v in known.columns.items() if c[:3] != run.key[1:]}
    questions = known.questions if known is not None else None
    for name, text in ((SAMPLES, OWN), (WRONG_SAMPLES, OTHER)):
        if not (folder / name).is_file():
            continue
        own, right = read_samples(folder / name, metric)
        if questions is None or not columns:
            questions = own
        elif own != questions:
            differing = min(key for key in {*own, *questions} if own.get(key) != questions.get(key))
            raise DataError(
                f"{folder / name}: was tested on other questions than the runs of {run.task} before it "
                f"({len(own)} and {len(questions)} questions; {differing.id!r} differs). "
                "Test all runs of a task on the same split."
            )
        columns[Column(run.arm, run.keep, run.seed, text)] = right
    assert questions is not None, "a finished run has its samples"
    return Verdicts(questions, columns)
