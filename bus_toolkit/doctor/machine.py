"""Whether the machine has the memory, the disk and the file handles that a training takes."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus_toolkit.doctor.finding import Finding, fault, ok, warning

_GIB = 2**30
SHARED = Path("/dev/shm")
# Our bounds: a batch of 64 images of 256 px is 50 MB, and each worker has two of them ready.
LEAST_SHARED = 1 * _GIB
# A checkpoint of a base model with its optimizer takes 3 GiB, and two are kept.
LEAST_DISK = 10 * _GIB
LEAST_MEMORY = 4 * _GIB
LEAST_FILES = 1024

Usage = Callable[[Path], Any]


def check_machine(work_dir: Path = Path("work_dirs"), usage: Usage = shutil.disk_usage) -> list[Finding]:
    """Look at processors, memory, shared memory, disk and file handles.

    Args:
        work_dir: The folder that runs are written into; it need not exist.
        usage: Returns total and free bytes of the file system of a folder.
    """
    return [
        ok(f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} processors for this process"),
        check_memory(Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")),
        check_shared_memory(usage),
        *(check_disk(folder, usage) for folder in dict.fromkeys((work_dir, Path(tempfile.gettempdir())))),
        check_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ]


def check_memory(meminfo: str) -> Finding:
    """Look at the memory that is free, as Linux states it in kB."""
    stated = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    total, free = (int(stated[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    words = f"memory: {_size(free)} of {_size(total)} available"
    if free < LEAST_MEMORY:
        return warning(
            words, "A training may be ended by the system. Close other programs, or lower batch_size and num_workers."
        )
    return ok(words)


def check_shared_memory(usage: Usage) -> Finding:
    """Look at the memory through which workers of a data loader pass their batches."""
    if not SHARED.is_dir():
        return warning(f"{SHARED} is missing", "Workers pass batches through it. Mount it, or set num_workers: 0.")
    total, _, free = usage(SHARED)
    words = f"{SHARED}: {_size(free)} of {_size(total)} free"
    if free < LEAST_SHARED:
        advice = (
            "Workers pass batches through it, and die with a bus error where it is full. Start the container with "
            "--shm-size=8g (Docker) or an emptyDir of medium Memory (Kubernetes), or set num_workers: 0."
        )
        return warning(words, advice)
    return ok(words)


def check_disk(folder: Path, usage: Usage) -> Finding:
    """Look whether files can be made in a folder, or where it would be made, and how many."""
    try:
        place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    except OSError as error:
        return fault(f"{folder}: cannot be looked at: {error.strerror}", "Give a --work-dir that you may write to.")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = "Run from a folder that you may write to, or give --work-dir (of temporary files: TMPDIR)."
        return fault(f"{place}: cannot be written to: {error.strerror}", advice)
    free = usage(place)[2]
    words = f"{place}: {_size(free)} free, writable"
    if free < LEAST_DISK:
        return warning(words, "Two checkpoints of a base model take 6 GiB. Make room, or give --work-dir (TMPDIR).")
    return ok(words)


def check_files(limit: int) -> Finding:
    """Look at how many files a process may have open; each batch of a worker takes some."""
    if limit == resource.RLIM_INFINITY:
        return ok("any number of open files")
    if limit < LEAST_FILES:
        return warning(
            f"{limit} open files at most", f"Loaders with many workers need more. Run: ulimit -n {4 * LEAST_FILES}"
        )
    return ok(f"{limit} open files at most")


def _size(number: float) -> str:
    return f"{number / _GIB:.1f} GiB" if number >= _GIB else f"{number / 2**20:.0f} MiB"
