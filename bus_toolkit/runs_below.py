"""Runs below a folder that is none itself, such as that of a study."""

from __future__ import annotations

import os
from pathlib import Path

SAVED_MODEL = "bus_toolkit.json"
"""The index of a folder that ``save_pretrained`` has written, with weights and no run; see ``pretrained/layout.py``."""
# A folder of a study is four deep; a home folder is not searched whole.
_DEEPEST, _MOST_FOLDERS, _MOST_NAMED = 5, 1000, 3


def runs_below(folder: Path, *, saved_models: bool = True) -> str:
    """Return a sentence that names runs, and saved models if asked, below ``folder``; empty without any."""
    found: list[str] = []
    for seen, (place, folders, files) in enumerate(os.walk(folder)):
        if seen == _MOST_FOLDERS:
            break
        depth = len(Path(place).relative_to(folder).parts)
        is_run = depth > 0 and "config.yaml" in files  # saved models have one, too
        if is_run and (saved_models or SAVED_MODEL not in files):
            found.append(place)
        is_end = is_run or depth == _DEEPEST  # the starts of a run have configs of their own
        folders[:] = [] if is_end else sorted(name for name in folders if not name.startswith("."))
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f" Below it are {', '.join(found[:_MOST_NAMED])}{more}." if found else ""
