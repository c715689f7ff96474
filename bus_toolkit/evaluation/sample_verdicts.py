"""The lines of a file of verdicts (``bus-toolkit test --samples``), read again."""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import load_json

# Such files have some megabytes; a small one that grows without end when it is read is refused.
_LARGEST = 1 << 30


class Question(NamedTuple):
    """What makes a question of a task."""

    kind: str
    id: str


def read_verdicts_by_metric(file: Path) -> dict[str, dict[Question, float]]:
    """Return how right each answer is, 0 to 1, by metric and question.

    Raises:
        DataError: The file is damaged, has no verdicts, or has a question twice.
    """
    verdicts: dict[str, dict[Question, float]] = defaultdict(dict)
    for number, line in read_lines(file):
        if not isinstance(line, dict) or "correct" not in line:
            continue
        metric, question, correct = verdict_of(line, f"{file}, line {number}")
        if question in verdicts[metric]:
            raise DataError(f"{file}, line {number}: the question {question.id!r} of {metric} is there twice.")
        verdicts[metric][question] = correct
    if not verdicts:
        raise DataError(f"{file}: has no line that says what is correct. Give a file of bus-toolkit test --samples.")
    return dict(verdicts)


def verdict_of(line: Mapping[str, Any], location: str) -> tuple[str, Question, float]:
    """Return the metric of a line, its question and how right the answer is.

    Raises:
        DataError: A field is missing or wrong.
    """
    try:
        question = Question(str(line["kind"]), str(line["id"]))
        return str(line["metric"]), question, float(line["correct"])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{location}: needs id, kind, metric and correct, got {line!r}. Test it again.") from error


def read_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and the values of JSON lines, compressed where the name ends in ``.gz``.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            size = 0
            for number, text in enumerate(lines, start=1):
                size += len(text)
                if size > _LARGEST:
                    raise ValueError("more than 1 GiB")
                yield number, load_json(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{file}: cannot be read: {error}. Test the run again.") from error
