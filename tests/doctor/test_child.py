"""Checks in processes of their own: what they find, and how they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.doctor import Verdict
from bus_toolkit.doctor.child import findings_of, start
from bus_toolkit.doctor.finding import Finding


def ending(code: str, seconds: float = 60) -> Finding:
    """What is said of a process that runs this code."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, errors="replace")
    (finding,) = findings_of(process, "it", "do this", seconds)
    assert process.returncode is not None, "no process is left"
    return finding


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it: ended by signal 11 (it said nothing)"),
        ("raise SystemExit(3)", "it: ended with exit code 3 (it said nothing)"),
        ("import sys; sys.exit('one\\ntwo\\n\\nthree\\nfour')", "it: ended with exit code 1 (two | three | four)"),
        ("print('no findings')", "it: ended with exit code 0 (it said nothing)"),
    ],
)
def test_a_process_that_ends_without_findings_is_a_fault(code: str, words: str) -> None:
    assert ending(code) == Finding(Verdict.FAULT, words, "do this")


def test_a_process_that_hangs_is_ended() -> None:
    assert ending("import time; time.sleep(60)", seconds=0.2).what == "it: no end within 0.2 s"


def test_lines_of_others_do_not_matter() -> None:
    line = """doctor's findings: [{"verdict": "warning", "what": "w", "advice": "a"}]"""
    assert ending(f"print('a plugin is here', end=''); print(); print({line!r})") == Finding(Verdict.WARNING, "w", "a")


@pytest.mark.slow
def test_two_processes_add_up_and_one_alone_is_not_waited_for(tmp_path: Path) -> None:
    both = [start("round", rank, "2", str(tmp_path / "a"), "60") for rank in "01"]
    found = [findings_of(process, "round", "", 100) for process in both]
    assert found == [[Finding(Verdict.OK, "2 processes over gloo: the sum of their numbers is 3")]] * 2
    alone = findings_of(start("round", "0", "2", str(tmp_path / "b"), "1"), "round", "the network", 100)
    assert alone[0].verdict is Verdict.FAULT and alone[0].advice == "the network"
