from __future__ import annotations

import random
from itertools import combinations, product

import pytest

from bus_toolkit.testing.pairs import covering_rows


def some_options(seed: int) -> dict[str, list[str]]:
    chance = random.Random(seed)
    # Slots share names of options, as the parts Identity of two registries do.
    return {f"slot{slot}": [f"option{i}" for i in range(chance.randint(1, 9))] for slot in range(chance.randint(2, 6))}


@pytest.mark.parametrize("seed", range(20))
def test_every_pair_of_options_meets(seed: int) -> None:
    options = some_options(seed)
    rows = covering_rows(options)
    for a, b in combinations(options, 2):
        assert {(row[a], row[b]) for row in rows} == set(product(options[a], options[b]))
    assert all(list(row) == list(options) for row in rows)


@pytest.mark.parametrize("seed", range(20))
def test_few_rows_do_and_they_are_the_same_each_time(seed: int) -> None:
    options = some_options(seed)
    rows = covering_rows(options)
    second, largest = sorted(len(names) for names in options.values())[-2:]
    assert second * largest <= len(rows) <= 2 * second * largest
    assert covering_rows(options) == rows


def test_a_single_slot_has_no_pairs() -> None:
    assert covering_rows({"decoder": ["PAD", "QFormer"]}) == []
