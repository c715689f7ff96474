"""What the doctor says of the environment."""

from __future__ import annotations

from bus_toolkit.doctor import Verdict
from bus_toolkit.doctor.environment import check_environment
from bus_toolkit.limits import YAML_BYTES


def test_a_limit_that_is_set_is_shown_with_its_default() -> None:
    (finding,) = check_environment({"BUS_MAX_YAML_DEPTH": " 200 ", "PATH": "/bin"})
    assert finding.verdict is Verdict.OK and finding.what.startswith("BUS_MAX_YAML_DEPTH: 200 mappings and lists")
    assert finding.what.endswith("(without it 100)")


def test_a_value_that_ends_every_command_is_a_fault() -> None:
    (finding,) = check_environment({YAML_BYTES.variable: "1e9"})
    assert finding.verdict is Verdict.FAULT
    assert finding.what == "BUS_MAX_YAML_BYTES: must be a whole number from 1 below 10^18, got '1e9'"
    assert finding.advice == f"Correct the variable, or unset it for {YAML_BYTES.default}."


def test_a_name_that_nothing_reads_is_a_warning() -> None:
    (finding,) = check_environment({"BUS_MAX_YAML_BITES": "2000000"})
    assert finding.verdict is Verdict.WARNING and "BUS_MAX_YAML_BITES is no limit" in finding.what
    assert "Did you mean 'BUS_MAX_YAML_BYTES'?" in finding.advice


def test_no_variable_at_all() -> None:
    (finding,) = check_environment({"BUS_MAX_YAML_BYTES": "", "BUS_PLUGINS": "a"})
    assert finding.verdict is Verdict.OK
