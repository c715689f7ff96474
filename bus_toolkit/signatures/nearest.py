"""The nearest of the names that a misspelt one may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHORTEST = 4  # letters; shorter words are contained in many names by chance
_LONGEST = 100  # letters; a longer word is no misspelt name, and comparing it takes long
_EVERYWHERE = ("type", "_delete_")  # keys of any part
MOST_HINTS = 20
"""Of so many names that are wrong at one place, the first ones get a hint: finding one takes a millisecond."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing if no candidate is near.

    A candidate that contains the name counts as near too: people write ``Recall`` for ``RetrievalRecall``. A key that
    has swallowed its value is named as such: YAML reads ``{lr:0.1}`` as the key ``lr:0.1``.
    """
    if len(name) > _LONGEST:
        return ""
    pool = list(candidates)
    key, colon, value = name.partition(":")
    if colon and value and key in (*pool, *_EVERYWHERE):
        return f" A space follows the colon in YAML: {{{key}: {value}}}."
    near = difflib.get_close_matches(name, pool, n=1, cutoff=0.6)
    if not near:
        folded = {c.lower(): c for c in pool}
        near = [folded[key] for key in difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)]
    if not near and len(name) >= _SHORTEST:
        near = sorted((c for c in pool if name.lower() in c.lower()), key=len)[:1]
    return f" Did you mean '{near[0]}'?" if near else ""
