"""What Linux says of a process."""

from __future__ import annotations

from pathlib import Path

STATE, START = 0, 19  # places in what stat_of returns: proc(5) counts the name as the second field


def stat_of(pid: int, place: int) -> str | None:
    """Return a field of ``/proc/<pid>/stat`` after the name; ``None`` if there is no such process."""
    try:
        # The name, in parentheses, may hold anything.
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[place]
    except (OSError, IndexError):
        return None
