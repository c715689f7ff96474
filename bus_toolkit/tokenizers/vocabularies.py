"""Vocabularies from files: one word a line, or counted in captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import load_json
from bus_toolkit.tables import DELIMITERS, table_rows
from bus_toolkit.text_files import read_utf8, split_lines

SHIPPED = Path(__file__).parent / "vocab"
_TEXT_KEYS = ("caption", "text", "title", "sentence")


def count_words(
    path: Path,
    split: Callable[[str], list[str]],
    min_frequency: int,
    text_key: str | None = None,
    quoting: str | None = None,
) -> list[str]:
    """Return the words of a captions file by falling frequency, ties by alphabet.

    Args:
        path: A CSV or TSV with a header, COCO captions JSON, a list or lines of JSON records, or plain text.
        split: Text to its words.
        min_frequency: Rarer words are left out.
        text_key: Column or key of the caption; ``None`` for ``caption``, ``text``, ``title`` or ``sentence``.
        quoting: What quotes mean in a table, as in :func:`bus_toolkit.tables.table_rows`.

    Raises:
        DataError: The file is missing, malformed, or has no such word.
    """
    counts: Counter[str] = Counter()
    for text in _captions(path, _TEXT_KEYS if text_key is None else (text_key,), quoting):
        counts.update(split(text))
    words = sorted((word for word, n in counts.items() if n >= min_frequency), key=lambda word: (-counts[word], word))
    if not counts:
        raise DataError(f"{path}: its captions hold no word, or there is none. Write a caption for each image.")
    if not words:
        raise DataError(f"{path}: no word occurs {min_frequency} times. Lower min_frequency, or check the file.")
    return words


def _captions(path: Path, keys: tuple[str, ...], quoting: str | None) -> list[str]:
    """Return the texts of a captions file in one of the known forms."""
    content, kind = read_utf8(path), path.suffix.lower()
    if kind in DELIMITERS:
        return _column(path, content, keys, quoting)
    if kind not in (".json", ".jsonl", ".ndjson"):
        return split_lines(content)
    try:
        data: Any = load_json(content)
    except ValueError:
        data = [_json_line(path, line) for line in split_lines(content) if line.strip()]
    if isinstance(data, dict):
        data = data.get("annotations", [data])
    texts = [text for record in data for text in _texts(record, keys)] if isinstance(data, list) else []
    if not texts or any(text is None for text in texts):
        raise DataError(
            f"{path}: there are records without a caption (a key of {', '.join(keys)}). Use COCO captions or plain "
            "text, or set text_key."
        )
    return [str(text) for text in texts]


def _column(path: Path, content: str, keys: tuple[str, ...], quoting: str | None) -> list[str]:
    """Return the captions of a table; whether each of its rows is whole is the data set's to check."""
    rows = table_rows(content, path, quoting=quoting)
    _, header = next(rows)
    key = next((key for key in keys if key in header), None)
    if key is None:
        raise DataError(
            f"{path}: the first line must name the columns, one of them {' or '.join(keys)}, got "
            f"{', '.join(filter(None, header)) or 'no columns'}. Write such a line (image,caption) above the rows, or "
            "set text_key to the name that the captions have."
        )
    position = header.index(key)
    return [row[position] for _, row in rows if position < len(row)]


def _texts(record: object, keys: tuple[str, ...]) -> list[Any]:
    """Return the captions of a record, ``[None]`` if it has none; a record may hold a list of them."""
    if isinstance(record, str):
        return [record]
    value = next((record[key] for key in keys if key in record), None) if isinstance(record, dict) else None
    return value if isinstance(value, list) else [value]


def _json_line(path: Path, line: str) -> object:
    try:
        return load_json(line)
    except ValueError as error:
        raise DataError(f"{path}: is neither JSON nor JSON lines: {error}. Check the file.") from error


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return word to id of a file with one word a line.

    Raises:
        DataError: The file is missing or has a word twice.
    """
    words = split_lines(read_utf8(path))
    vocabulary = {word: number for number, word in enumerate(words)}
    if len(vocabulary) < len(words):
        twice = next(word for word, n in Counter(words).items() if n > 1)
        raise DataError(f"{path}: the vocabulary has {twice!r} twice. Each line must be another word.")
    return vocabulary
