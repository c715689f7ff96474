"""Who holds a lock: what a process writes into a lock file, and whether the process that wrote it still runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bus_toolkit.engine.process_table import START, stat_of


def own_identity() -> dict[str, Any]:
    """Return what identifies this process."""
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    who = {"machine": platform.node(), "pid": os.getpid(), "started": started}
    return {**who, "place": _place(), "ticks": stat_of(os.getpid(), START)}


def read_identity(file: int) -> dict[str, Any]:
    """Return what the process that has or had the lock wrote; nothing if it did not come to it."""
    try:
        holder = json.loads(os.pread(file, 4096, 0))
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(holder, dict) and own_identity().keys() <= holder.keys() and isinstance(holder["pid"], int)
    return holder if is_whole else {}


def is_here(holder: Mapping[str, Any]) -> bool:
    """Return whether the process is, or was, of this machine and container, so that its number can be looked up."""
    return holder["place"] == _place()


def runs_here(holder: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine runs. A number is used again, with another start."""
    return holder["ticks"] is not None and stat_of(holder["pid"], START) == holder["ticks"]


def _place() -> str:
    """Return where numbers of processes mean what they mean here: this start of the machine, and of the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return platform.node()
