"""Checks that can crash or hang, each in a process of its own.

It runs as ``python -m bus_toolkit.doctor.child NAME [WORD ...]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from bus_toolkit.doctor.finding import Finding, fault

_MARK = "doctor's findings: "  # before the line of JSON: plugins and libraries print lines of their own
_LINES = 3  # of the end of what it wrote, in the report
# Where each check is; it takes words and returns findings.
_CHECKS = {"devices": "devices", "plugins": "plugins", "step": "step", "round": "process_round"}


def start(name: str, *words: str) -> subprocess.Popen[str]:
    """Start a check; :func:`findings_of` waits for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "bus_toolkit.doctor.child", name, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )


def findings_of(process: subprocess.Popen[str], what: str, advice: str, seconds: float) -> list[Finding]:
    """Return what a started check found, or how it ended.

    Args:
        process: What :func:`start` returned.
        what: What is examined, for the message.
        advice: What to do if it crashes or takes too long.
        seconds: Time that it may take.
    """
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [fault(f"{what}: no end within {seconds:g} s", advice)]
    lines = [line for line in out.splitlines() if line.startswith(_MARK)]
    if process.returncode == 0 and lines:
        return [Finding.from_dict(one) for one in json.loads(lines[-1].removeprefix(_MARK))]
    code = process.returncode
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    said = " | ".join([line.strip() for line in errors.splitlines() if line.strip()][-_LINES:]) or "it said nothing"
    return [fault(f"{what}: {how} ({said})", advice)]


def run_check(words: Sequence[str]) -> list[Finding]:
    """Return the findings of the check that the first word names."""
    name, *rest = words
    check: Callable[..., list[Finding]] = import_module(f"bus_toolkit.doctor.{_CHECKS[name]}").check
    return check(*rest)


if __name__ == "__main__":
    found = run_check(sys.argv[1:])
    print(f"\n{_MARK}{json.dumps([one.to_dict() for one in found])}", flush=True)
