"""JSON in which every key of a mapping is there once, and which any file in UTF-8 can hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")


def parse_json(text: str | bytes) -> Any:
    """Return the content of a JSON text, as ``json.loads`` does.

    Of a key that is there twice ``json`` keeps the last value and drops the others without a word: of two questions
    with one id, one is lost.

    Raises:
        ValueError: It is no JSON, or a mapping has a key twice.
        RecursionError: It is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_once)


def dump_json(value: Any, **settings: Any) -> str:
    """Return the JSON text of a value with letters of all scripts as they are.

    Half a character (a lone surrogate), as in a file name that is not UTF-8 or after ``"\\ud83d"`` in a JSON file, is
    written as such an escape: UTF-8 cannot hold it, and one of them would end the writing of a whole file.

    Args:
        value: What ``json.dumps`` takes.
        settings: Its other arguments.
    """
    text = json.dumps(value, ensure_ascii=False, **settings)
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} occurs twice in one mapping")
    return mapping
