"""Curves of runs that are longer than what is kept of a curve."""

import json

import pytest

from bus_toolkit.visualization.scalars import Scalars, thinned


def test_the_start_of_a_long_run_stays_on_its_curve(tmp_path):
    file, steps = tmp_path / "scalars.json", 30_000
    # A loss that falls within a thirtieth of the run, as most do.
    lines = ({"iter": step, "loss": 8.0 if step <= 1000 else 1.0} for step in range(1, steps + 1))
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    points = Scalars([file]).losses["loss"]
    drawn = thinned(points, 300)
    for curve, most in ((points, 4096), (drawn, 300)):
        places = [step for step, _ in curve]
        assert places == sorted(places) and len(curve) <= most and curve[-1] == (steps, 1.0)
        assert curve[0][0] <= 200 and curve[0][1] == 8.0
        gaps = [after - before for before, after in zip(places, places[1:], strict=False)]
        assert max(gaps) <= 4 * steps / most + 200
    high = [step for step, loss in drawn if loss > 7.0]
    assert max(high) == pytest.approx(1000, abs=150)


def test_means_are_those_of_stretches_and_the_last_point_is_as_it_is():
    points = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (4.0, 100.0)]
    assert thinned(points, 3) == [(0.5, 1.0), (2.5, 5.0), (4.0, 100.0)]
    assert thinned(points, 5) == points
    assert thinned([(7.0, 1.0), (7.0, 3.0), (7.0, 5.0)], 2) == [(7.0, 2.0), (7.0, 5.0)]
