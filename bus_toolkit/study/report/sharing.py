"""Where the costs of two arms cross when an image has several questions.

What reads no text is computed once an image, the rest once a question, so that Q questions cost ``shared / Q + own``
each. Two such costs are equal at one Q at most: that of ``Q = (shared_2 - shared_1) / (own_1 - own_2)``.
"""

from __future__ import annotations

import math

from bus_toolkit.study.report.cell_text import NOTHING
from bus_toolkit.study.report.rows import Row


def cheaper_text(row: Row, other: Row) -> str:
    """Return for how many questions an image ``row`` costs less MACs each than ``other``, in words."""
    if row.shared_macs is None or other.shared_macs is None:
        return NOTHING
    less_shared = other.shared_macs - row.shared_macs
    more_own = (row.macs - row.shared_macs) - (other.macs - other.shared_macs)
    # Cheaper while more_own * Q < less_shared.
    if more_own == 0:
        return "any number" if less_shared > 0 else "none"
    border = less_shared / more_own
    if more_own > 0:
        most = math.ceil(border) - 1
        return f"up to {most}" if most >= 1 else "none"
    least = max(1, math.floor(border) + 1)
    return f"{least} or more" if least > 1 else "any number"
