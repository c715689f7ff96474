"""Runs below a folder that is none itself, such as that of a study."""

from __future__ import annotations

import os
from pathlib import Path

SAVED_MODEL = "bus_toolkit.json"
"""The index of a folder that ``save_pretrained`` has written, with weights and no run; see ``pretrained/layout.py``."""
_MARKS = {"config.yaml", SAVED_MODEL}  # a run has the first
_DEEPEST, _MOST_FOLDERS, _MOST_NAMED = (
    5,
    1000,
    3,
)  # a folder of a study is four deep; a home folder is not searched whole


def runs_below(folder: Path) -> str:
    """Return a sentence that names runs and saved models below ``folder``; empty if there are none."""
    found: list[str] = []
    for seen, (place, folders, files) in enumerate(os.walk(folder)):
        if seen == _MOST_FOLDERS:
            break
        depth = len(Path(place).relative_to(folder).parts)
        is_run = depth > 0 and bool(_MARKS & set(files))
        if is_run:
            found.append(place)
        is_end = is_run or depth == _DEEPEST  # the starts of a run have configs of their own
        folders[:] = [] if is_end else sorted(name for name in folders if not name.startswith("."))
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f" Below it are {', '.join(found[:_MOST_NAMED])}{more}." if found else ""
