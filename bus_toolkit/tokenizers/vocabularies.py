"""Vocabularies from files: one word a line, or counted in captions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError


def count_words(path: Path, split: Callable[[str], list[str]], min_frequency: int) -> list[str]:
    """Return the words of a captions file by falling frequency, ties by alphabet.

    Args:
        path: COCO captions JSON, a list or lines of JSON records (keys ``caption``, ``text`` or ``sentence``), or text.
        split: Text to its words.
        min_frequency: Rarer words are left out.

    Raises:
        DataError: The file is missing, malformed, or has no such word.
    """
    counts: Counter[str] = Counter()
    for text in _captions(path):
        counts.update(split(text))
    words = sorted((word for word, n in counts.items() if n >= min_frequency), key=lambda word: (-counts[word], word))
    if not words:
        raise DataError(f"{path}: no word occurs {min_frequency} times. Lower min_frequency, or check the file.")
    return words


def _captions(path: Path) -> list[str]:
    """Return the texts of a captions file in one of the known forms."""
    content = _read_text(path)
    if path.suffix not in (".json", ".jsonl"):
        return content.splitlines()
    try:
        data: Any = json.loads(content)
    except ValueError:
        data = [_json_line(path, line) for line in content.splitlines() if line.strip()]
    if isinstance(data, dict):
        data = data.get("annotations", [data])
    texts = [_caption(record) for record in data] if isinstance(data, list) else []
    if not texts or any(text is None for text in texts):
        raise DataError(
            f"{path}: there are records without a caption, text or sentence. Use COCO captions or plain text."
        )
    return [str(text) for text in texts]


def _caption(record: object) -> str | None:
    if isinstance(record, str):
        return record
    if not isinstance(record, dict):
        return None
    return next((record[key] for key in ("caption", "text", "sentence") if key in record), None)


def _json_line(path: Path, line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: is neither JSON nor JSON lines: {error}. Check the file.") from error


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return word to id of a file with one word a line.

    Raises:
        DataError: The file is missing or has a word twice.
    """
    words = _read_text(path).splitlines()
    vocabulary = {word: number for number, word in enumerate(words)}
    if len(vocabulary) < len(words):
        twice = next(word for word, n in Counter(words).items() if n > 1)
        raise DataError(f"{path}: the vocabulary has {twice!r} twice. Each line must be another word.")
    return vocabulary


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Set the path to an existing file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: {error}. Convert it.") from error
