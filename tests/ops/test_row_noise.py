"""Numbers by seed, purpose, step and row: against SplitMix64 in whole numbers of Python, and against chance."""

from __future__ import annotations

import torch

from bus_toolkit.ops.row_noise import _GOLDEN, _key, _mixed, noise_of_places, row_noise

LARGEST = (1 << 64) - 1


def next_of_splitmix64(state: int) -> int:
    """Return the published generator's output for a state, without a sign."""
    z = state & LARGEST
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & LARGEST
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & LARGEST
    return z ^ (z >> 31)


def test_streams_are_splitmix64() -> None:
    # The first outputs of the generator for seed 1234567, as its reference code prints them.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    states = [(1234567 + (place + 1) * (_GOLDEN & LARGEST)) & LARGEST for place in range(4)]
    assert [next_of_splitmix64(state) for state in states] == published
    signed = torch.tensor([state - (state >> 63 << 64) for state in states])
    assert [number & LARGEST for number in _mixed(signed).tolist()] == published


def test_each_number_is_that_of_a_slow_obvious_version() -> None:
    rows = torch.tensor([0, 5, 70_000])
    got = row_noise("mlm", 3, rows, 2, 3, seed=11)
    for index, row in enumerate(rows.tolist()):
        start = next_of_splitmix64(row * (_GOLDEN & LARGEST) + _key("mlm", 3, 11))
        slow = [next_of_splitmix64(start + (place + 1) * (_GOLDEN & LARGEST)) >> 40 for place in range(6)]
        assert (got[index].flatten() * 2**24).tolist() == slow


def test_a_rows_numbers_depend_on_no_other_row_and_on_no_length() -> None:
    rows = torch.arange(8)
    whole = row_noise("itm", 0, rows, 10, seed=1)
    assert torch.equal(row_noise("itm", 0, rows[1::2], 7, seed=1), whole[1::2, :7])
    assert torch.equal(noise_of_places("itm", 0, rows, torch.tensor([9, 0]), seed=1), whole[:, [9, 0]])
    assert torch.equal(row_noise("itm", 0, rows, seed=1), whole[:, 0])


def test_other_names_steps_seeds_and_rows_give_other_numbers_that_are_uniform() -> None:
    rows = torch.arange(300)
    streams = [
        row_noise(name, step, rows, 300, seed=seed).flatten()
        for name, step, seed in (("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1))
    ]
    for numbers in streams:
        assert 0.0 <= numbers.min() and numbers.max() < 1.0
        assert abs(numbers.mean() - 0.5) < 0.005  # five standard errors of 90,000 numbers
        counts = torch.histc(numbers, bins=16, min=0.0, max=1.0)
        assert ((counts - 5625) ** 2 / 5625).sum() < 45  # chi squared of 15 degrees: 1 in 10,000
    between = torch.corrcoef(torch.stack([*streams, streams[0].roll(1), streams[0].roll(300)]))
    assert (between - torch.eye(6)).abs().max() < 0.018  # rows and places that follow each other, too
