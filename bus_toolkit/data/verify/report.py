"""The result of a check: a line for each fault, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.table import Table

from bus_toolkit.safe_text import one_line


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: ``file``, ``row``, ``id``, ``box``, ``caption``, ``text`` (all texts together), ``image`` (or its boxes in
            the pipeline) or ``pipeline``, a transform that failed in another way than over bad data.
        location: The file, and the place in it; empty if ``reason`` names it.
        reason: What is wrong.
        row: Row of the data set, where the fault is that of a row.
        text_id: Id of the caption in its file, where it has one.
    """

    kind: str
    location: str
    reason: str
    row: int | None = None
    text_id: int | str | None = None

    def __str__(self) -> str:
        """Return the fault as a line."""
        place = "" if self.row is None else f"row {self.row}, "
        place += "" if self.text_id is None else f"text id {self.text_id}, "
        location = f"{self.location}: " if self.location else ""
        return one_line(f"{self.kind}: {place}{location}{self.reason}")


class EnoughFaults(Exception):
    """The limit of faults is reached; the rest is not read."""


@dataclass
class Report:
    """Faults and counts of one data set.

    Attributes:
        max_faults: It stops at so many.
        counts: What was counted, in words.
        notes: What is worth knowing and no fault.
        faults: In the order in which they were met.
        stopped: Whether something was left unread because there were too many.
    """

    max_faults: int = 100
    counts: dict[str, int | float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    stopped: bool = False

    def add(self, fault: Fault) -> None:
        """Note a fault.

        Raises:
            EnoughFaults: It is one more than the limit allows to name.
        """
        if len(self.faults) >= self.max_faults:
            self.stopped = True
            raise EnoughFaults
        self.faults.append(fault)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a count; a count of 0 is shown too."""
        self.counts[name] = self.counts.get(name, 0) + number

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        kinds = Counter(fault.kind for fault in self.faults)
        faults = [asdict(fault) for fault in self.faults]
        return {
            "counts": self.counts,
            "faults_by_kind": kinds,
            "notes": self.notes,
            "stopped_early": self.stopped,
            "faults": faults,
        }

    def table(self) -> Table:
        """Return counts, then faults by kind."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
        table.add_column("counted")
        table.add_column("number", justify="right")
        for name, number in self.counts.items():
            table.add_row(name, f"{number:,}" if isinstance(number, int) else f"{number:.1%}")
        for kind, number in Counter(fault.kind for fault in self.faults).items():
            table.add_row(f"faults: {kind}", f"{number:,}{' or more' if self.stopped else ''}", style="red")
        if not self.faults:
            table.add_row("faults", "0")
        return table
