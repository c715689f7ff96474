"""What a check of the doctor found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Some runs suffer from it."""
    FAULT = "fault"
    """No run works, or none of those that need what was examined."""


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes:
        verdict: How bad it is.
        what: What was examined, with what was seen.
        advice: What to do; empty if all is well.
    """

    verdict: Verdict
    what: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "verdict": self.verdict.value}

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Finding:
        """Return what ``to_dict`` gave."""
        return cls(Verdict(held["verdict"]), str(held["what"]), str(held["advice"]))


def ok(what: str) -> Finding:
    """Return that all is well."""
    return Finding(Verdict.OK, what)


def warning(what: str, advice: str) -> Finding:
    """Return that some runs suffer."""
    return Finding(Verdict.WARNING, what, advice)


def fault(what: str, advice: str) -> Finding:
    """Return that no run works."""
    return Finding(Verdict.FAULT, what, advice)
