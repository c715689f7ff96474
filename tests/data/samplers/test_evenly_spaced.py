"""Rows at equal distances."""

from __future__ import annotations

import pytest

from bus_toolkit.data.samplers import evenly_spaced
from bus_toolkit.data.samplers.evenly_spaced import EvenlySpacedSampler
from bus_toolkit.errors import ConfigError


def test_rows_are_spread_over_the_data_and_always_the_same() -> None:
    sampler = EvenlySpacedSampler(range(10), num_samples=4, seed=3)
    assert list(sampler) == list(sampler) == [0, 2, 5, 7] and len(sampler) == 4
    assert list(EvenlySpacedSampler(range(3), num_samples=9)) == [0, 1, 2]


def test_ranks_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for rank in range(2):
        monkeypatch.setattr(evenly_spaced, "get_dist_info", lambda rank=rank: (rank, 2))
        shares.append(list(EvenlySpacedSampler(range(10), num_samples=5)))
    assert shares == [[0, 4, 8], [2, 6]]


def test_no_row_is_refused() -> None:
    with pytest.raises(ConfigError, match="EvenlySpacedSampler.num_samples: must be at least 1, got 0"):
        EvenlySpacedSampler(range(10), num_samples=0)
