"""The summary that a preparation prints at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.safe_text import one_line


def print_counts(out: Path, counts: Mapping[str, Any], is_new: bool, warnings: Iterable[str]) -> None:
    """Print the counts that differ from published numbers, all counts, and the folder of the data."""
    for line in warnings:
        print(one_line(f"warning: {line}"))
    for name, count in counts.items():
        print(one_line(f"{name}: {count:,}"))
    print(f"{out}: {'written' if is_new else 'is whole, nothing to do'}")
