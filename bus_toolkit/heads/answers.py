"""Answers to questions: lists to choose from, and the answers of a batch in one flat list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.text_files import read_utf8, split_lines


class BatchAnswers(NamedTuple):
    """All answers of a batch: the question (row) that each belongs to, its text, and its share of that question."""

    rows: list[int]
    texts: list[str]
    shares: list[float]


def flatten_answers(answers: Sequence[Any], shares: Sequence[Any]) -> BatchAnswers:
    """Return the answers of a batch as flat lists; a question without answers has no entry.

    Args:
        answers: For each question the different answers, one answer as a string, or ``None``.
        shares: For each question the share of each answer; ``None`` for the same share each.

    Raises:
        DataError: A question has another number of shares than answers.
    """
    batch = BatchAnswers([], [], [])
    for row, (own, weights) in enumerate(zip(answers, shares, strict=True)):
        texts = [own] if isinstance(own, str) else list(own or ())
        if not texts:
            continue
        weights = [1.0 / len(texts)] * len(texts) if weights is None else list(weights)
        if len(weights) != len(texts):
            raise DataError(
                f"gt_answer_weight: row {row} of the batch has {len(weights)} weights for {len(texts)} answers. "
                "Give each answer one weight, or leave gt_answer_weight out."
            )
        batch.rows.extend([row] * len(texts))
        batch.texts.extend(texts)
        batch.shares.extend(float(weight) for weight in weights)
    return batch


def read_answers(answers: str | Sequence[str]) -> list[str]:
    """Return a list of answers, given as such, as a text file with one a line, or as a JSON file with a list.

    Raises:
        ValueError: The file cannot be read, there is no answer, or one is empty, no text or there twice.
    """
    source, entries = "the list", answers
    if isinstance(answers, str):
        source = answers
        entries = _read_file(expand_home(answers))
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise ValueError(f"{source} must hold a list of answers, got {str(entries)[:80]!r}. Write one answer a line.")
    for position, answer in enumerate(entries):
        if not isinstance(answer, str) or is_blank(answer):
            raise ValueError(f"{source}: answer {position + 1} must be words, got {answer!r}. Quote it, or remove it.")
    texts = [answer.strip() for answer in entries]
    twice = [answer for answer, count in Counter(texts).items() if count > 1]
    if twice:
        raise ValueError(f"{source} has {twice[0]!r} twice. Answers must be distinct: remove one of them.")
    return texts


def _read_file(path: Path) -> Any:  # whatever a JSON file holds
    try:
        content = read_utf8(path)
        if path.suffix == ".json":
            return parse_json(content)
        return [line for line in split_lines(content) if not is_blank(line)]
    except DataError as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        raise ValueError(f"{path} is no list of answers: {error}. Write one answer a line.") from error
