"""The command of studies: what it shows without a training."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bus_toolkit.cli.study import COMMAND, duration
from bus_toolkit.errors import ConfigError
from tests.study.files import write_arms, write_systems
from tests.study.test_run import FakePlanner


def test_a_time_is_a_number_with_its_unit() -> None:
    assert [duration(text) for text in ("90m", "1.5h", "45s", "7")] == [5400, 5400, 45, 7]
    with pytest.raises(argparse.ArgumentTypeError, match="must be a number with s, m or h, such as 90m, got 'soon'"):
        duration("soon")


def test_jobs_are_listed_with_their_costs_and_nothing_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bus_toolkit.study.planner.Planner", FakePlanner)
    words = [str(write_arms(tmp_path)), "--out", str(tmp_path / "out"), "--only", "race"]
    assert COMMAND.main([*words, "--list"]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.split() == ["due", "race/full/keep_1/seed_0"] and "race/TSPS/keep_0.11/seed_0" in second
    assert rest == ["race, TSPS, keep 0.11: costs +10.0% of the budget, the nearest there is.", "2 jobs: 2 due."]
    assert COMMAND.main([*words, "--dry-run"]) == 0
    assert "+10.0%!" in capsys.readouterr().out and not list((tmp_path / "out").iterdir())
    with pytest.raises(ConfigError, match="--only: no job of the study matches nothing. See --list."):
        COMMAND.main([*words, "nothing", "--list"])


def test_a_study_of_systems_writes_its_table(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bus_toolkit.study.planner.Planner", FakePlanner)
    assert COMMAND.main([str(write_systems(tmp_path)), "--out", str(tmp_path / "out"), "--table-only"]) == 1
    assert "Missing: retrieval BUS seed 0;" in (tmp_path / "out" / "table.md").read_text()
    assert "0 of 8 jobs are done" in capsys.readouterr().out
