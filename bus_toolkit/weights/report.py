"""Report of a loading: which tensors were loaded, resized, missing or not used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bus_toolkit.ops.position_table import Grid

_SHOWN = 4


@dataclass
class LoadReport:
    """Which tensors of a source were loaded, resized, missing or not used, with full names.

    Attributes:
        path: The file or folder.
        part: The part that they went into.
        layout: The layout that they had.
        loaded: Names of the part that were set.
        resized: Those among them that were brought into another shape, with both shapes.
        missing: Parameters of the part that stayed as they were.
        unexpected: Names of the source that have no place in the part.
        notes: Hints for the user.
        warnings: Why the part may compute something else than the source did, a sentence each.
        grid: Rows and columns of patches that the positions of the source are of, where it says so.
    """

    path: str
    part: str
    layout: str
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    grid: Grid | None = None

    def summary(self) -> str:
        """Return a few lines for the log."""
        first = f"{self.part}: {len(self.loaded)} tensors from {self.path} (layout {self.layout})."
        return "\n".join([first, *self.details()])

    def details(self) -> list[str]:
        """Return a line each for what was changed, stays as it was, or has no place, and the notes."""
        lines = []
        if self.resized:
            lines.append(f"  brought into another shape: {'; '.join(self.resized[:_SHOWN])}{_more(self.resized)}")
        if self.missing:
            lines.append(f"  stay as they were: {_grouped(self.missing)}")
        if self.unexpected:
            lines.append(f"  have no place: {_grouped(self.unexpected)}")
        return lines + [f"  {note}" for note in (*self.notes, *self.warnings)]

    def full(self) -> str:
        """Return the summary and every name."""
        lists = {name: getattr(self, name) for name in ("loaded", "resized", "missing", "unexpected")}
        parts = [f"{name} ({len(names)}):\n" + "".join(f"  {n}\n" for n in names) for name, names in lists.items()]
        return f"{self.summary()}\n\n" + "\n".join(parts)

    def write(self, path: str | Path) -> None:
        """Write :meth:`full` to a text file."""
        Path(path).write_text(self.full(), encoding="utf-8")


def _grouped(names: Sequence[str]) -> str:
    """Return names with their numbers as ``*`` and how many there are of each, the most frequent first."""
    groups = Counter(re.sub(r"\.\d+\.", ".*.", name).rsplit(".", 1)[0] for name in names)
    if len(groups) > _SHOWN:
        groups = Counter(name.split(".")[0] for name in names)
    shown = [f"{name} ({count})" if count > 1 else name for name, count in groups.most_common(_SHOWN)]
    return f"{', '.join(shown)}{_more(list(groups))}"


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
