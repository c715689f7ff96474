"""Turns and ratios; no test depends on a clock."""

from __future__ import annotations

import torch

from bus_toolkit.analysis.benchmark.timing import ratios, take_turns

CPU = torch.device("cpu")


def test_runs_take_turns_and_the_first_one_moves_on() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = take_turns(runs, rounds=3, device=CPU, warm_up=1)
    assert "".join(order) == "cab" + "abc" + "bca" + "cab"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_slow_round_slows_both_and_leaves_the_ratio() -> None:
    assert ratios([2.0, 20.0, 3.0], [1.0, 10.0, 2.0]) == [2.0, 2.0, 1.5]
