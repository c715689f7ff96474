"""JSON in which every key of a mapping is there once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the content of a JSON text, as ``json.loads`` does.

    Of a key that is there twice ``json`` keeps the last value and drops the others without a word: of two questions
    with one id, one is lost.

    Raises:
        ValueError: It is no JSON, or a mapping has a key twice.
        RecursionError: It is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} occurs twice in one mapping")
    return mapping
