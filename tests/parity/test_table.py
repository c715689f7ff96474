"""The table of ``make parity``: verdicts, peers that are missing, peers that fail."""

from __future__ import annotations

import pytest

from tests.parity import table
from tests.parity.cases import ALL
from tests.parity.comparison import Comparison, Measured


def row(measured: Measured | Exception, **settings: object) -> table.Row:
    def run() -> Measured:
        if isinstance(measured, Exception):
            raise measured
        return measured

    return table.compared(Comparison("item", "numpy", run, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measured", "settings", "verdict"),
    [
        (Measured(5, 1e-7), {"tolerance": 1e-6}, "equal"),
        (Measured(5, 1e-5), {"tolerance": 1e-6}, "DIFFERENT"),
        (Measured(5, 1e-5), {"documented": "somewhere"}, "documented difference"),
        (Measured(5, 1.0, counts=True), {}, "DIFFERENT"),
        (Measured(5, 0.0, counts=True), {"documented": "somewhere"}, "equal"),
        (Measured(5, float("inf")), {"tolerance": 1e-6}, "DIFFERENT"),
        (RuntimeError("the peer broke"), {}, "failed: RuntimeError"),
    ],
)
def test_verdicts(measured: Measured | Exception, settings: dict, verdict: str) -> None:
    outcome = row(measured, **settings)
    assert outcome.verdict == verdict
    assert outcome.is_fault is (verdict not in ("equal", "documented difference"))


def test_numbers_that_are_none_are_not_equal() -> None:
    assert Measured.numbers([([1.0, 2.0], [1.0, float("nan")])]) == (2, float("inf"), False)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(2,\) here, \(1,\) there"):
        Measured.numbers([([1.0, 2.0], [1.0])])


def test_a_missing_peer_has_a_row_and_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "installed", lambda _: None)
    rows = [table.compared(comparison) for comparison in ALL]
    assert {outcome.verdict for outcome in rows} == {"not installed"}
    assert not any(outcome.is_fault for outcome in rows)
    assert f"{len(ALL)} not installed" in table.page(rows)


def test_java_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table.shutil, "which", lambda _: None)
    outcome = row(Measured(1, 0.0), needs_java=True)
    assert (outcome.verdict, outcome.is_fault) == ("no Java", False)
