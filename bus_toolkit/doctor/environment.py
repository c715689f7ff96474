"""Whether the variables of the environment that raise limits of what is read say what they were meant to say."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bus_toolkit.doctor.finding import Finding, fault, ok, warning
from bus_toolkit.limits import LIMITS
from bus_toolkit.signatures import did_you_mean

_PREFIX = "BUS_MAX_"


def check_environment(environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at each ``BUS_MAX_`` variable: a wrong value ends every command that reads such a thing.

    Args:
        environ: The environment.
    """
    names = sorted(name for name, text in environ.items() if name.startswith(_PREFIX) and text.strip())
    return [_finding(name, environ[name]) for name in names] or [ok(f"no {_PREFIX} variable: limits as they come")]


def _finding(name: str, text: str) -> Finding:
    limits = {limit.variable: limit for limit in LIMITS}
    if name not in limits:
        return warning(
            f"{name} is no limit of the toolkit, and nothing reads it",
            f"Correct or unset it.{did_you_mean(name, limits)} Limits: {', '.join(limits)}.",
        )
    limit = limits[name]
    problem = limit.problem(text)
    if problem:
        return fault(f"{name}: {problem}", f"Correct the variable, or unset it for {limit.default}.")
    return ok(f"{name}: {text.strip()} {limit.about} (without it {limit.default})")
