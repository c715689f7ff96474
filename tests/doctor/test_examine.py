"""The whole examination, and what the command prints of it."""

from __future__ import annotations

import argparse

import pytest

from bus_toolkit import doctor
from bus_toolkit.cli.doctor import COMMAND
from bus_toolkit.doctor import Finding, Section, Verdict, examine
from bus_toolkit.doctor import examine as module_function

GOOD = Finding(Verdict.OK, "torch 2.6.0")
BAD = Finding(Verdict.FAULT, "a word " * 30, "Run: pip install 'torch>=2.6'")


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object):
        raise RuntimeError("no metadata")

    names = module_function.__globals__
    monkeypatch.setitem(names, "check_versions", fail)
    monkeypatch.setitem(names, "check_machine", lambda folder: [GOOD])
    monkeypatch.setitem(names, "findings_of", lambda process, what, advice, seconds: [Finding(Verdict.OK, what)])
    monkeypatch.setitem(names, "start", lambda *words: words)
    sections = list(examine())
    assert [section.title for section in sections] == [
        *("Versions", "Machine", "Environment", "Devices", "Plugins", "Processes", "A training step"),
    ]
    assert sections[0].findings[0].what == "the check failed: RuntimeError: no metadata" and sections[0].num_faults == 1
    assert [section.num_faults for section in sections[1:]] == [0] * 6
    assert sections[-1].findings[0].what == "step cpu"


def test_the_command_prints_all_and_its_exit_code_says_whether_runs_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*findings: Finding):
        return lambda work_dir, seconds: iter([Section("Versions", findings)])

    monkeypatch.setattr(doctor, "examine", found(GOOD))
    assert COMMAND.main([]) == 0
    out = capsys.readouterr().out
    assert out == "Versions\n  ok      torch 2.6.0\n\n0 faults, 0 warnings. A report of a bug needs all of this page.\n"
    monkeypatch.setattr(doctor, "examine", found(GOOD, BAD))
    assert COMMAND.main(["--seconds", "5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("  fault   a word a word") and lines[3].startswith(" " * 10 + "word a")
    assert f"{' ' * 10}Run: pip install 'torch>=2.6'" in lines and max(map(len, lines)) <= 118


def test_times_must_be_positive() -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        COMMAND.main(["--seconds", "0"])
