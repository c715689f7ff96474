"""Few rows that hold every pair of options: a covering array of strength 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product


def covering_rows(options: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return rows, one option a slot, in which any two options of different slots meet at least once.

    Greedy, as AETG (Cohen et al., 1997) but without chance: a row starts with the first pair that no row holds yet, and
    each further slot takes the option that makes the most new pairs. The same options give the same rows.

    Args:
        options: Slot to its options, each at least one.

    Returns:
        As many rows as the two largest slots have pairs, or a few more. Options repeat where a row has no new pair to
        offer. A single slot has no pairs and gives no row.
    """
    missing = {
        frozenset({(a, first), (b, second)}): None  # a dict, as a set has no order
        for a, b in combinations(options, 2)
        for first, second in product(options[a], options[b])
    }
    rows = []
    while missing:
        row = dict(sorted(next(iter(missing))))
        for slot in options:
            if slot not in row:
                new_pairs = [
                    sum(frozenset({(slot, o), held}) in missing for held in row.items()) for o in options[slot]
                ]
                row[slot] = options[slot][new_pairs.index(max(new_pairs))]
        for pair in combinations(row.items(), 2):
            missing.pop(frozenset(pair), None)
        rows.append({slot: row[slot] for slot in options})
    return rows
