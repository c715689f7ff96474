"""One row for each comparison, and the page that holds them."""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.parity.comparison import Comparison
from tests.parity.peers import installed

FAULTS = ("DIFFERENT", "failed")
INTRODUCTION = """\
# Public packages beside ours

Written by `make parity`, which installs the peers into a virtual environment of their own and compares them with the
toolkit on generated inputs (`tests/parity`). "Difference" is the largest one of all numbers, or how many of the cases
are not equal. "Equal" allows the rounding of the numbers that are compared; a documented difference names the place
that explains it. `python -m tests.parity --only WORD` runs a part in any environment; a peer that is missing gets a
row "not installed".
"""
NOT_COMPARED = """\
## Not compared

- METEOR and SPICE: ours are pycocoevalcap's own programs, which need Java.
- mPLUG: there is no package of it. Its layout is tested with transformers' BERT layers in `tests/weights`, its search
  in `tests/text_decoders`.
- ALBEF's and BLIP's own code: it does not import with the transformers that we need. TorchMultimodal's ALBEF and
  transformers' BLIP are compared instead.
- Selectors of BUS, COPA and TRIPS: no public code.
"""


@dataclass(frozen=True)
class Row:
    """What came out of one comparison."""

    comparison: Comparison
    version: str
    cases: str
    difference: str
    verdict: str

    @property
    def is_fault(self) -> bool:
        """Whether somebody has to look at it."""
        return self.verdict.startswith(FAULTS)

    def cells(self) -> list[str]:
        """Return the columns of the table."""
        place = f" ({self.comparison.documented})" if self.verdict == "documented difference" else ""
        peer = f"{self.comparison.peer} {self.version}".strip()
        return [self.comparison.item, peer, self.cases, self.difference, self.verdict + place]


def compared(comparison: Comparison) -> Row:
    """Run one comparison; whatever goes wrong becomes its verdict."""
    version = installed(comparison.peer)
    if version is None:
        return Row(comparison, "", "", "", "not installed")
    if comparison.needs_java and shutil.which("java") is None:
        return Row(comparison, version, "", "", "no Java")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocoevalcap prints
            measured = comparison.run()
    except Exception as error:  # a peer may fail in any way
        traceback.print_exc()
        return Row(comparison, version, "", "", f"failed: {type(error).__name__}")
    return Row(comparison, version, f"{measured.cases:,}", str(measured), comparison.verdict(measured))


def page(rows: Sequence[Row]) -> str:
    """Return the page."""
    counts = Counter(row.verdict.split(":")[0] for row in rows)
    summary = ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())
    where = (
        f"Python {platform.python_version()}, torch {installed('torch')}, mmpretrain {installed('onedl-mmpretrain')}"
    )
    lines = [INTRODUCTION, f"{time.strftime('%Y-%m-%d')}, {where}: {summary}.", ""]
    lines += ["| item | peer | cases | difference | verdict |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join([*lines, "", NOT_COMPARED])
