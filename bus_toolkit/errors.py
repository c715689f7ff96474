"""Every error that bus_toolkit raises on purpose.

The wording is ``<location>: <mistake>, got <value>. <allowed values>. <advice>``. The tools print these without
a traceback and leave with exit code 2; anything else that escapes is a defect of ours and keeps its traceback.

Checks collect :class:`Problem` objects; code asks their ``path`` and ``kind``. They become text only when they are
shown, so no code has to read a message. Names from data and keys of a YAML are in them: characters that would steer a
terminal are shown as escapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bus_toolkit.safe_text import safe_lines


class ProblemKind(Enum):
    """The kinds of problems that code must distinguish without reading the text."""

    OTHER = "other"
    UNKNOWN_TYPE = "unknown type"
    """A ``type`` that no registry has; a plugin that failed to load may be the cause."""


@dataclass(frozen=True)
class Problem:
    """One mistake of the user.

    Attributes:
        path: The YAML path, file or flag that is wrong; empty if ``text`` names it.
        text: The mistake, the allowed values and advice.
        kind: Code may branch on this, never on ``text``.
    """

    path: str
    text: str
    kind: ProblemKind = ProblemKind.OTHER

    def __str__(self) -> str:
        """Render it as one line."""
        return f"{self.path}: {self.text}" if self.path else self.text

    def is_within(self, path: str) -> bool:
        """Return whether it is about the node at ``path`` or one below it."""
        return self.path == path or self.path.startswith(f"{path}.")


_MOST_ALIKE = 3


def _lines(problems: Sequence[Problem]) -> list[str]:
    """Render a line each; of more than three that say the same, the first alone."""
    alike = Counter(problem.text for problem in problems)
    shown: set[str] = set()
    lines = []
    for problem in problems:
        text, others = problem.text, alike[problem.text] - 1
        if others < _MOST_ALIKE or not problem.path:
            lines.append(str(problem))
        elif text not in shown:
            lines.append(f"{problem.path} (and {others} other places): {text}")
        shown.add(text)
    return lines


class BusError(Exception):
    """Base of all errors whose message is meant for the user.

    Args:
        problems: One mistake or all of them; a text names its place itself.

    Attributes:
        problems: The same as :class:`Problem` objects.
    """

    def __init__(self, problems: str | Problem | Sequence[str | Problem]) -> None:
        listed = [problems] if isinstance(problems, str | Problem) else problems
        self.problems = [Problem("", problem) if isinstance(problem, str) else problem for problem in listed]
        super().__init__(safe_lines("\n".join(_lines(self.problems))))


class ConfigError(BusError):
    """A YAML file or a command-line override is wrong."""


class ComponentError(BusError):
    """A registered part cannot be found, registered, built or combined."""


class PluginError(BusError):
    """A plugin that a run asked for cannot be used."""


class DataError(BusError):
    """A data file is missing or malformed, or too many samples are bad."""


class TrainingError(BusError):
    """A training cannot go on: its losses or weights are not finite any more."""


class CheckpointError(BusError):
    """A checkpoint cannot be read safely or does not fit the model."""


def describe(value: object) -> str:
    """Return what a value of the wrong kind is, for a message: its type, of an array also dtype and shape."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{type(value).__name__} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
