"""What a metric returns is checked before it is reported."""

from __future__ import annotations

import logging

import pytest

from bus_toolkit.errors import ComponentError
from bus_toolkit.evaluation import SampleMetric


class Mean(SampleMetric):
    """The mean of a field, returned in one of several forms."""

    default_prefix = "mean"
    needs = "score"

    def __init__(self, form=float) -> None:
        super().__init__()
        self.form = form

    def row(self, sample):
        return {"score": sample["score"]} if "score" in sample else sample.get("row", {})

    def summarise(self, rows):
        return self.form(sum(row["score"] for row in rows) / len(rows))


def evaluated(metric, *samples):
    metric.process(None, list(samples))
    return metric.evaluate(len(samples))


def test_numbers_by_name_are_reported_with_the_samples_that_they_are_of(caplog) -> None:
    metric = Mean(lambda mean: {"it": mean})
    with caplog.at_level(logging.INFO):
        assert evaluated(metric, {"score": 1.0}, {"score": 3.0}, {}) == {"mean/it": 2.0}
    assert "Mean: measured on 2 of 3 samples; the others do not have score." in caplog.text


@pytest.mark.parametrize(
    ("form", "message"),
    [(lambda mean: {"it": "good"}, "got {'it': 'good'}. Return a dict of floats"), (float, "got 1.0. Return a dict")],
)
def test_anything_else_is_refused(form, message: str) -> None:
    with pytest.raises(ComponentError, match=f"Mean.summarise must return numbers by name, {message}"):
        evaluated(Mean(form), {"score": 1.0})


@pytest.mark.parametrize("row", [None, 1.0])
def test_a_row_that_is_no_dict_is_refused(row: object) -> None:
    with pytest.raises(ComponentError, match="Mean.row must return a dict, got (NoneType|float). Return"):
        Mean().process(None, [{"score": 1.0}, {"row": row}])
