"""Some cases of each target, and what the harness itself says of readers that fail."""

import os
import signal
import time

import pytest

from tests.fuzz.sandbox import run_cases
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_CASES = {
    "config": 20,
    "overrides": 8,
    "images": 80,
    "pth_zip": 80,
    "pickle": 80,
    "pth_legacy": 80,
    "table": 15,
    "table_json": 40,
}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_input_is_refused_by_errors_of_ours(name, tmp_path):
    cases = _CASES.get(name, 150)
    tally = run_cases(TARGETS[name], range(cases), "tests", tmp_path)
    assert tally.faults == 0, tally.kinds
    assert tally.verdicts.total() == cases
    assert tally.peak < 2 << 30


def _number(rng):
    return bytes([rng.randrange(256)])


def _run(attempt, monkeypatch, tmp_path, cases=3):
    return run_cases(Target("own", _number, attempt, (ValueError,)), range(cases), "0", tmp_path)


def test_a_foreign_error_is_named_by_its_place_with_the_first_case(monkeypatch, tmp_path):
    def attempt(data, folder):
        raise KeyError("x")

    tally = _run(attempt, monkeypatch, tmp_path)
    assert tally.verdicts == {"foreign": 3} and tally.faults == 3
    ((kind, first),) = tally.first.items()
    assert kind.startswith("KeyError at test_fuzz.py:") and first == 0


def test_a_refusal_is_no_fault_and_the_same_seed_gives_the_same_cases(monkeypatch, tmp_path):
    def attempt(data, folder):
        if data[0] % 2:
            raise ValueError

    tallies = [_run(attempt, monkeypatch, tmp_path, cases=40).verdicts for _ in range(2)]
    assert tallies[0] == tallies[1] and tallies[0].keys() == {"accepted", "refused"}


def test_a_hang_is_stopped(monkeypatch, tmp_path):
    def attempt(data, folder):
        while True:
            time.process_time()

    monkeypatch.setattr("tests.fuzz.sandbox.SECONDS", 0.05)
    assert _run(attempt, monkeypatch, tmp_path).verdicts == {"hang": 3}


def test_a_child_that_dies_costs_one_case(monkeypatch, tmp_path):
    def attempt(data, folder):
        os.kill(os.getpid(), signal.SIGKILL)

    assert _run(attempt, monkeypatch, tmp_path).verdicts == {"died": 3}


def test_a_case_that_fills_the_memory_is_foreign(monkeypatch, tmp_path):
    def attempt(data, folder):
        bytearray(3 << 30)

    assert _run(attempt, monkeypatch, tmp_path).verdicts == {"foreign": 3}
