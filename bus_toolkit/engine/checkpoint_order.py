"""The checkpoints of a work dir from the newest to the oldest, by how far the training was, not by times of files.

Times of files are no order: a copy of a folder has new ones, and clocks of two machines differ.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.files import load_checkpoint_file

_log = logging.getLogger(__name__)
POINTER = "last_checkpoint"
# By epochs, by epochs and saved inside of one, by iterations.
_NAME = re.compile(r"(?P<kind>epoch|iter)_(?P<count>\d+)(_iter_(?P<iteration>\d+))?\.pth")
_LONGEST = 4096  # bytes of a path


def newest_first(work_dir: Path) -> Iterator[Path]:
    """Give the checkpoints that the run in ``work_dir`` may go on from, none of them opened unless it must be.

    The first is the one that the pointer file ``last_checkpoint`` names, by its name in the folder itself: in a copy of
    a run folder the path in it leads to the other run. After it come those from before it; what seems newer is of an
    earlier run in that folder, or was written when the run was killed. Without the file that it names, all come; if
    there is none in the folder, those outside where the pointer leads to (``out_dir`` of the checkpoint hook).
    """
    named, found = read_pointer(work_dir), numbered(work_dir)
    last = None if named is None else work_dir / named.name
    if last is None or not last.is_file():
        outside = named is not None and _is_there(named)
        if outside:
            _log.warning("%s: leads outside of its folder, to %s.", work_dir / POINTER, named)
        elif named is not None and found:
            _log.warning("%s: names %s, which is not there.", work_dir / POINTER, named.name)
        yield from _by_progress(found)
        if not outside or named is None or found:
            return
        last, found = named, numbered(named.parent)
    yield last
    yield from _by_progress([path for path in found if path != last and _is_before(path, last)])


def numbered(work_dir: Path) -> list[Path]:
    """Return the files that have the name of a checkpoint; half-written ones never do."""
    return [path for path in work_dir.glob("*.pth") if _NAME.fullmatch(path.name)]


def read_pointer(work_dir: Path) -> Path | None:
    """Return the path in the pointer file; ``None`` without one, and with a warning for one that holds no path."""
    pointer = work_dir / POINTER
    try:
        with pointer.open("rb") as file:
            content = file.read(_LONGEST + 1).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: cannot be read (%s), and is ignored.", pointer, error.strerror)
        return None
    path = Path(os.fsdecode(content))
    if not path.name.endswith(".pth") or len(os.fsencode(path.name)) > 255 or len(content) > _LONGEST or 0 in content:
        _log.warning("%s: names no checkpoint, got %.60r, and is ignored.", pointer, content)
        return None
    return path


def _is_there(path: Path) -> bool:
    """Return whether a file is there; one that nobody here may look at, in the folder of another user, is not."""
    with contextlib.suppress(OSError):
        return path.is_file()
    return False


def _by_progress(paths: list[Path]) -> Iterator[Path]:
    """Give the paths from the latest on; files are opened only to compare epochs with iterations."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(paths, key=_counts):
        kinds.setdefault(path.name.split("_")[0], []).append(path)
    while kinds:
        kind = next(iter(kinds)) if len(kinds) == 1 else max(kinds, key=lambda one: _iteration(kinds[one][-1]))
        yield kinds[kind].pop()
        kinds = {name: left for name, left in kinds.items() if left}


def _counts(path: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(path.name)
    assert match is not None, "numbered() gave it"
    return int(match["count"]), int(match["iteration"] or 0)


def _is_before(path: Path, last: Path) -> bool:
    """Return whether a checkpoint is of an earlier moment than the last one; if that one is unknown, any is."""
    if _NAME.fullmatch(last.name) is None:
        return True
    if path.name.split("_")[0] == last.name.split("_")[0]:
        return _counts(path) < _counts(last)
    end = _iteration(last)
    return end < 0 or _iteration(path) < end


def _iteration(path: Path) -> int:
    """Return the iterations done, by the name or else by the contents; -1 if the file cannot be read."""
    match = _NAME.fullmatch(path.name)
    if match is not None and (match["kind"] == "iter" or match["iteration"]):
        return int(match["iteration"] or match["count"])
    try:
        done = (load_checkpoint_file(path, "meta").get("meta") or {}).get("iter")
    except (CheckpointError, AttributeError):
        return -1
    return done if isinstance(done, int) else -1
