"""torchrun's restarts: processes that start again in the place of others go on from the newest checkpoint of these.

A restart has the words of the first start, so it cannot know by them what was there before. The first start therefore
leaves a note of the checkpoint that it found in the work dir: that of an earlier run is not gone on from.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.options import LATEST
from bus_toolkit.ops.shared_work import on_first_rank
from bus_toolkit.weights.checksums import fingerprint
from bus_toolkit.writing import write_whole

_log = logging.getLogger(__name__)
NOTE = "elastic_start.json"


def resume_of_restart(work_dir: str, asked: str | None) -> str | None:
    """Return the value of ``--resume`` for these processes.

    Args:
        work_dir: The folder of the run.
        asked: The flag as the command has it.

    Returns:
        ``latest`` in a restart that finds a checkpoint which the processes before have written; else ``asked``.
    """
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == 0:
        return asked
    if not on_first_rank(lambda: _has_own(Path(work_dir))):
        return asked
    _log.warning("torchrun has started the processes again: going on from the newest checkpoint of %s.", work_dir)
    return LATEST


def note_start(work_dir: str) -> None:
    """Note what is there at the first start, if torchrun may start these processes again; on rank 0."""
    count, most = (int(os.environ.get(f"TORCHELASTIC_{name}", "0")) for name in ("RESTART_COUNT", "MAX_RESTARTS"))
    if most > 0 and count == 0:
        write_whole(Path(work_dir) / NOTE, json.dumps(_newest(Path(work_dir))))


def _has_own(work_dir: Path) -> bool:
    newest = _newest(work_dir)
    try:
        return newest is not None and newest != json.loads((work_dir / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the first start did not come as far as its note, or was of another program
        return False


def _newest(work_dir: Path) -> str | None:
    """Return the name and the fingerprint of the newest checkpoint."""
    path = latest_checkpoint(work_dir)
    try:
        return None if path is None else f"{path.name} {fingerprint(path)}"
    except OSError:  # the pointer leads to a file that is gone
        return None
