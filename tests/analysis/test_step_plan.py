"""The time of a step past this machine: against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bus_toolkit.analysis.communication import StepTraffic
from bus_toolkit.analysis.step_plan import Machine, fit_speed, plan_table, step_time
from tests.models.test_communication import BUS_BASE

PAGE = Path(__file__).parents[2] / "tools" / "SCALE.md"
TOY = Machine(macs_per_second=100.0, overhead=1.0, near=1000.0, far=100.0, ranks_per_node=2, start=0.5)
# Gradients of 400 bytes and nothing else.
GRADIENTS = StepTraffic(1, 0, 0, 0, parameters=100, means=0, figures=0, matching=False)
# Two halves of pairs of 300 and 100 bytes, each way, and their numbers.
PAIRS = StepTraffic(rows=1, feature_dim=0, image_bytes=300, text_bytes=100, parameters=0, means=0, figures=0)


def test_a_fit_finds_the_overhead_and_the_speed_of_exact_times() -> None:
    points = [(macs, 0.25 + macs / 40.0) for macs in (10.0, 20.0, 80.0)]
    assert fit_speed(points) == pytest.approx((0.25, 40.0))


def test_an_overhead_below_zero_is_none() -> None:
    overhead, speed = fit_speed([(10.0, 0.9), (20.0, 2.1)])
    # Without overhead 1 / speed is the sum of macs / seconds over that of its squares.
    assert overhead == 0.0 and speed == pytest.approx((11.1111**2 + 9.5238**2) / (11.1111 + 9.5238), rel=1e-4)


def test_gradients_count_where_they_take_longer_than_the_backward_pass() -> None:
    assert step_time(TOY, 200.0, GRADIENTS, 1) == (3.0, 0.0, 0.0)
    # Two near ranks: 0.5 s of start and 400 bytes once around a ring, less than two thirds of 3 s.
    assert step_time(TOY, 200.0, GRADIENTS, 2) == (3.0, 0.0, 0.0)
    # Eight far ones: three doublings, 2 * 7 / 8 of 4 s, less 2 s of the backward pass.
    assert step_time(TOY, 200.0, GRADIENTS, 8) == pytest.approx((3.0, 0.0, 1.5 + 7.0 - 2.0))


def test_exchanges_are_waited_for() -> None:
    # Ids: 16 bytes, numbers: 56 bytes, halved by the ring, a start each; 200 bytes of pairs each way, two starts each.
    expected = 0.008 + 0.5 + 0.028 + 0.5 + 2 * (0.2 + 2 * 0.5)
    assert step_time(TOY, 0.0, PAIRS, 2).waited == pytest.approx(expected)


def test_the_page_shows_what_the_model_says_of_its_assumptions() -> None:
    h100 = Machine(0.35 * 989e12 / 2, 0.0, near=360e9, far=40e9, ranks_per_node=8, start=1e-5)
    for rows in (64, 256):
        table = plan_table(h100, rows * 143e9, replace(BUS_BASE, rows=rows), (8, 64, 512))
        assert table in PAGE.read_text()


def test_the_fit_on_the_pages_measured_steps_holds_for_those_that_it_has_not_seen() -> None:
    # GMAC and seconds of BENCHMARKS.md, "The vision side alone": none and TSPS, then TRIPS and EViT.
    overhead, speed = fit_speed([(55.48, 5.405), (41.51, 3.986)])
    assert overhead == 0.0
    held_out = [(overhead + macs / speed) / seconds for macs, seconds in ((41.80, 4.085), (35.77, 3.553))]
    assert held_out == pytest.approx([0.99, 0.97], abs=0.005)
