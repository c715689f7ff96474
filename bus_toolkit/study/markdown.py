"""What all tables of a study share: Markdown, and the spread of a figure over seeds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False) -> str:
    """Return a Markdown table; cells are Markdown already.

    Args:
        heads: Of the columns.
        rows: Their cells.
        aligned: Whether cells are filled with blanks, so that columns are straight on a screen, too.
    """
    lines: list[Sequence[str]] = [heads, ["---"] * len(heads), *rows]
    if aligned:
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is, on one line."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    # Brackets stay around the numbers of an interval, and never begin a link.
    return re.sub(r"([\\`*_<>|~$]|\[(?![-+]?\d)|(?<!\d)\]|\](?=[(\[]))", r"\\\1", shown.replace("&", "&amp;"))


def spread_text(values: Sequence[float], digits: int) -> str:
    """Return the mean with the least and the greatest in brackets, where they differ; empty without values."""
    if not values:
        return ""
    mean, least, most = (f"{value:.{digits}f}" for value in (statistics.fmean(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least} to {most})"
