"""JSON in which every key of a mapping is there once, and which any file in UTF-8 can hold."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from bus_toolkit.safe_text import safe_json


def parse_json(text: str | bytes) -> Any:
    """Return the content of a JSON text, as ``json.loads`` does.

    Of a key that is there twice ``json`` keeps the last value and drops the others without a word: of two questions
    with one id, one is lost.

    Raises:
        ValueError: It is no JSON, is nested too deep, or a mapping has a key twice.
    """
    return load_json(text, object_pairs_hook=once)


def load_json(text: str | bytes, **settings: Any) -> Any:
    """Return what ``json.loads`` does of a text of others, where it matters not that a key is there once.

    Args:
        text: JSON.
        settings: Other arguments of ``json.loads``.

    Raises:
        ValueError: It is no JSON, or is nested too deep, for which ``json`` has no error of its own.
    """
    try:
        return json.loads(text, **settings)
    except RecursionError as error:
        raise ValueError("its lists and mappings are nested too deep") from error


def finite_number(value: Any) -> float | None:
    """Return a number of others as a float; ``None`` for what is none, is not finite, or is larger than any float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # of a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def finite_numbers(entries: Mapping[Any, Any]) -> dict[str, float]:
    """Return those entries of others that are finite numbers."""
    numbers = {str(key): finite_number(value) for key, value in entries.items()}
    return {key: number for key, number in numbers.items() if number is not None}


def dump_json(value: Any, **settings: Any) -> str:
    """Return the JSON text of a value with letters of all scripts as they are.

    Half a character (a lone surrogate), as in a file name that is not UTF-8 or after ``"\\ud83d"`` in a JSON file, is
    written as such an escape: UTF-8 cannot hold it, and one of them would end the writing of a whole file. So are
    characters that would steer a terminal which shows the file; a reader gets the same text.

    Args:
        value: What ``json.dumps`` takes.
        settings: Its other arguments.
    """
    return safe_json(json.dumps(value, ensure_ascii=False, **settings))


class KeyTwice(ValueError):
    """A mapping has a key twice, of which Python's parser would keep the last."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping; as ``object_pairs_hook``, of a text in which every key of a mapping is there once.

    Raises:
        KeyTwice: One is there twice.
    """
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise KeyTwice(f"the key {twice!r} occurs twice in one mapping")
    return mapping
