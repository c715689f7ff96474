"""One row of each of equal stretches."""

from __future__ import annotations

import pytest

from bus_toolkit.data.samplers import evenly_spaced
from bus_toolkit.data.samplers.evenly_spaced import EvenlySpacedSampler
from bus_toolkit.errors import ConfigError


def test_rows_are_spread_over_the_data_and_always_the_same() -> None:
    sampler = EvenlySpacedSampler(range(103), num_samples=10, seed=3)
    rows = list(sampler)
    assert rows == list(sampler) and len(sampler) == 10
    assert all(index * 103 // 10 <= row < (index + 1) * 103 // 10 for index, row in enumerate(rows))
    assert list(EvenlySpacedSampler(range(3), num_samples=9)) == [0, 1, 2]


def test_a_period_of_the_data_hides_no_kind_of_row() -> None:
    kinds = [row % 8 for row in EvenlySpacedSampler(range(1600), num_samples=800)]
    assert {kinds.count(kind) > 60 for kind in range(8)} == {True}


def test_ranks_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(EvenlySpacedSampler(range(10), num_samples=5))
    shares = []
    for rank in range(2):
        monkeypatch.setattr(evenly_spaced, "get_dist_info", lambda rank=rank: (rank, 2))
        shares.append(list(EvenlySpacedSampler(range(10), num_samples=5)))
    assert shares == [whole[0::2], whole[1::2]]


def test_no_row_is_refused() -> None:
    with pytest.raises(ConfigError, match="EvenlySpacedSampler.num_samples: must be at least 1, got 0"):
        EvenlySpacedSampler(range(10), num_samples=0)
