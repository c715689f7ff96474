"""Whether a training had ended learning, and when it reached a quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bus_toolkit.study.report.curves import (
    Curve,
    curve_of,
    first_reach,
    is_undertrained,
    last_gain,
    metric_key,
    time_to_quality,
)
from bus_toolkit.study.report.runs import CurvePoint, Run, run_of


def curve(*values: float) -> Curve:
    return [(CurvePoint(100.0 * i, 10.0 * i, 1e12 * i, {}), value) for i, value in enumerate(values, start=1)]


def run(values: Sequence[float], seconds: float = 10.0, seed: int = 0, machine: str = "a") -> Run:
    points = [
        {"step": 100 * i, "seconds": seconds * i, "macs": 1e9 * seconds * i, "val": {"vqa/accuracy": value}}
        for i, value in enumerate(values, start=1)
    ]
    line = {"task": "t", "arm": "a", "keep": 1, "seed": seed, "macs": {"inference": 1}, "curve": points}
    return run_of({**line, "machine": {"name": machine}}, "here")


def test_the_last_third_is_compared_to_the_best_before():
    assert last_gain(curve(50, 70, 80, 90, 95, 93)) == 5.0  # steps 500 and 600 against the best of 100 to 400
    assert last_gain(curve(50, 90, 70)) == -20.0
    assert last_gain(curve(50, 90)) is None


def test_an_arm_is_undertrained_if_its_seeds_rise_by_more_than_a_point_on_average():
    assert is_undertrained([curve(50, 70, 75), curve(50, 70, 68)]) is True  # 5 and -2
    assert is_undertrained([curve(50, 70, 71), curve(50, 70, 71)]) is False
    assert is_undertrained([curve(50, 70)]) is None


def test_lines_between_validations_say_when_a_quality_was_reached():
    reached = first_reach(curve(50, 70, 90, 80, 95), 80)
    assert reached is not None and (reached.seconds, reached.macs) == (25.0, 2.5e12)
    assert first_reach(curve(50, 70), 80) is None
    first = first_reach(curve(90, 95), 80)
    assert first is not None and first.seconds == 10.0


def test_times_are_compared_seed_by_seed():
    full = [run([0.5, 0.7, 0.9], 10.0, seed) for seed in (0, 1, 2)]
    ours = [run([0.5, 0.9, 0.9], 5.0, 0), run([0.5, 0.6, 0.7], 5.0, 1), run([0.5, 0.9, 0.9], 5.0, 3)]
    time = time_to_quality(ours, full, "vqa/accuracy")
    assert time.seeds == (0, 1) and time.quality == {0: 90.0, 1: 90.0}
    assert time.seconds == {0: pytest.approx(10 / 30)} == time.macs


def test_a_quality_that_was_there_from_the_start_is_no_race():
    full = run([0.9, 0.9])
    warm = replace(full, curve=tuple(replace(point, macs=point.macs - 1e10) for point in full.curve))
    assert time_to_quality([run([0.9])], [warm], "vqa/accuracy").seeds == ()


def test_seconds_of_other_machines_are_not_compared():
    time = time_to_quality([run([0.9], machine="b")], [run([0.9])], "vqa/accuracy")
    assert time.seconds == {} and time.macs == {0: 1.0}


def test_the_metric_of_a_kind_is_found():
    keys = ["classification/accuracy", "classification/accuracy_glyph", "retrieval/i2t_R@1"]
    assert metric_key(keys, "glyph", None) == "classification/accuracy_glyph"
    assert metric_key(keys, "control", None) == "classification/accuracy"
    assert metric_key(keys, "x", "retrieval/i2t_R@1") == "retrieval/i2t_R@1"
    assert metric_key(["loss"], "x", None) is None and curve_of(run([0.5]), None) == []
