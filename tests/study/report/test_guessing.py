"""Arms at the level of guessing, and what the report says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.columns import COLUMNS, MARKED_ACCURACY, marks
from bus_toolkit.study.report.curves import metric_key
from bus_toolkit.study.report.guessing import accuracy_text, is_guess, is_near_guess, majority_of, percent_text
from bus_toolkit.study.report.markdown_tables import times_table
from bus_toolkit.study.report.panels import Panel, make_panels
from bus_toolkit.study.report.runs import Run, read_runs, run_of
from bus_toolkit.study.report.samples import read_verdicts
from bus_toolkit.study.report.settings import ReportSettings

NAN = float("nan")


@pytest.mark.parametrize(
    ("accuracy", "majority", "guess"),
    [
        (Estimate(14.0, 12.5, 15.5), 13.2, True),
        (Estimate(14.0, 13.2, 15.5), 13.2, True),
        (Estimate(14.0, 13.3, 15.5), 13.2, False),
        (Estimate(9.0, 8.0, 10.0), 13.2, True),
        (Estimate(13.0, NAN, NAN), 13.2, True),
        (Estimate(NAN, NAN, NAN), 13.2, False),
        (Estimate(9.0, 8.0, 10.0), None, False),
        (None, 13.2, False),
    ],
)
def test_an_interval_that_reaches_down_to_the_most_frequent_answer_is_a_guess(
    accuracy: Estimate | None, majority: float | None, guess: bool
) -> None:
    assert is_guess(accuracy, majority) is guess
    assert accuracy_text(accuracy, majority).endswith(" (no better than guessing)") is guess
    assert accuracy is None or percent_text(accuracy, majority).endswith(" %, no better than guessing") is guess


def test_a_quality_within_five_points_of_guessing_is_none_to_race_for() -> None:
    assert is_near_guess(18.2, 13.2) and not is_near_guess(18.3, 13.2) and not is_near_guess(0.0, None)


def test_the_share_of_the_kind_comes_before_that_of_all_questions() -> None:
    line = {"task": "t", "arm": "a", "keep": 1, "seed": 0, "macs": {"inference": 1}}
    shares = {"classification/majority": 0.5, "classification/majority_glyph": 0.25}
    runs = [run_of(line, "here"), run_of({**line, "metrics": shares}, "here")]
    assert (majority_of(runs, "glyph"), majority_of(runs, "control"), majority_of(runs[:1], "glyph")) == (
        25.0,
        50.0,
        None,
    )


def panel_with(study: tuple[Path, Path, Path], settings: ReportSettings, majority: float) -> Panel:
    """The questions at keep 0.11, their most frequent answer right so often."""

    def known(run: Run) -> Run:
        line: dict[str, Any] = {**run.line, "metrics": {"classification/majority": majority}}
        return replace(run, line=line)

    runs = {key: known(run) for key, run in read_runs(study[2]).items()}
    panels = make_panels(runs, read_verdicts(study[2]), settings, draws=100)
    return next(panel for panel in panels if panel.name == "attribute" and panel.keep == 0.11)


def test_an_arm_that_guesses_says_so_and_is_not_undertrained(
    study: tuple[Path, Path, Path], settings: ReportSettings
) -> None:
    panel = panel_with(study, settings, 0.3)
    small, aware = panel.row("smaller image"), panel.row("text-aware")
    assert small is not None and aware is not None and aware.time is not None
    assert small.is_undertrained is False and marks(small) == ""
    texts = {column.head: column.text for column in COLUMNS}
    assert texts["accuracy, %"](panel, small).endswith("] (no better than guessing)")
    assert MARKED_ACCURACY.text(panel, small).endswith("] (no better than guessing)")
    assert texts["under another text, %"](panel, aware).endswith("] (no better than guessing)")
    assert texts["accuracy, %"](panel, aware).endswith("]")


def test_no_time_to_the_quality_of_a_guess_is_shown(study: tuple[Path, Path, Path], settings: ReportSettings) -> None:
    assert times_table([panel_with(study, settings, 0.9)])
    panel = panel_with(study, settings, 0.95)  # the unpruned arm ends at 99
    assert times_table([panel]) == "" and all(row.time is None for row in panel.rows)


def test_a_kind_has_the_figures_of_its_own_whatever_its_letters() -> None:
    metrics = {"classification/majority": 0.125, "classification/majority_what_colour": 0.625}
    line = {"task": "x", "arm": "a", "keep": 1, "seed": 0, "macs": {"inference": 1}, "metrics": metrics}
    assert majority_of([run_of(line, "")], "what colour?") == 62.5
    assert metric_key(["x/accuracy", "x/accuracy_what_colour"], "what colour?", None) == "x/accuracy_what_colour"
