"""Keep ratios that change over the epochs."""

from __future__ import annotations

import pytest

from bus_toolkit.ops.schedule import KeepRatioSchedule


def test_a_number_is_constant() -> None:
    schedule = KeepRatioSchedule.parse(0.5)
    assert [schedule.at(epoch) for epoch in (0, 1.5, float("inf"))] == [0.5, 0.5, 0.5]


def test_cosine_starts_at_start_passes_the_middle_and_ends_at_end() -> None:
    schedule = KeepRatioSchedule.parse({"start": 1.0, "end": 0.5, "epochs": 4, "shape": "cosine"})
    assert schedule.at(0) == pytest.approx(1.0)
    assert schedule.at(2) == pytest.approx(0.75)
    assert schedule.at(4) == 0.5
    assert schedule.at(9) == 0.5


def test_linear_is_linear() -> None:
    schedule = KeepRatioSchedule.parse({"start": 1.0, "end": 0.6, "epochs": 4, "shape": "linear"})
    assert schedule.at(1) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, r"keep_ratio: must be in \(0, 1\]"),
        (1.5, r"keep_ratio: must be in \(0, 1\]"),
        ({"start": 1.0, "stop": 0.5, "epochs": 1}, "a schedule takes start, end, epochs and shape"),
        ({"start": 1.0, "end": 0.5, "epochs": -1}, "must be 0 or more"),
        ({"start": 1.0, "end": 0.5, "epochs": 1, "shape": "step"}, "must be one of"),
    ],
)
def test_a_bad_schedule_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeepRatioSchedule.parse(value)  # type: ignore[arg-type]
