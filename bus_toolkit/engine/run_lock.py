"""One training in a work dir at a time: a lock file that says who has it.

The kernel's lock on the file decides, and is gone with the process however that ends. Some file systems have none, or
only within a machine. There the contents decide (machine, process and its start), and for a process of another machine
its sign of life: the time of the file, which the run renews. It is compared with itself alone, since the clocks of two
machines and of a file server differ. Evaluations take no lock: they only read checkpoints.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.engine.lock_holder import is_here, own_identity, read_identity, runs_here
from bus_toolkit.engine.refusals import full_disk_reported
from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import remove_stale, writing

_log = logging.getLogger(__name__)
LOCK = "run.lock"
SIGN_OF_LIFE = 20.0  # seconds between two; a run that has given none for three times as long is dead
# What trainings alone write into a work dir.
_WRITTEN = r".+\.pth|last_checkpoint|config\.yaml|vocabulary\.txt"


class RunLock:
    """The lock of a training on its work dir.

    A process has one for each folder, however many Runners it builds there one after the other. A process that is
    forked, such as a worker of a loader, does not keep it when the training has ended.

    Args:
        work_dir: The folder, which can be written; it is made if it is missing.

    Raises:
        ConfigError: Another training has it, or the file cannot be written.
    """

    _held: weakref.WeakValueDictionary[Path, RunLock] = weakref.WeakValueDictionary()

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / LOCK
        file = _take(self.path)
        ended = threading.Event()
        threading.Thread(target=_give_signs_of_life, args=(file, ended), daemon=True).start()
        # Called when the training has ended, or when nothing refers to this object any more, or at the process's end.
        self.release = weakref.finalize(self, _release, file, self.path, ended)
        own = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _close_in_child(own(), file))

    @classmethod
    def of(cls, work_dir: str | Path) -> RunLock:
        """Return the lock on a folder, taken now unless this process has it; remove what dead runs have left there.

        Raises:
            ConfigError: Another training has it, or the file cannot be written: it may be another user's.
            TrainingError: The disk is full.
        """
        folder = Path(work_dir).resolve()
        lock = cls._held.get(folder)
        if lock is None or not lock.release.alive:
            with writing(folder / LOCK, "work_dir"), full_disk_reported(str(folder)):
                folder.mkdir(parents=True, exist_ok=True)
                lock = cls._held[folder] = cls(folder)
            stale = remove_stale(folder, _WRITTEN, older_than=0)
            if stale:
                _log.info("Removed what a run that was killed had half written: %s.", ", ".join(p.name for p in stale))
        return lock


def _take(path: Path) -> int:
    """Return the descriptor of the lock file, which this process has now.

    Raises:
        ConfigError: Another process has it.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            has_locks = _lock(file, path)
            if not _is_the_file(file, path):  # the run before removed it just now
                os.close(file)
                continue
            holder = read_identity(file)
            if holder and _is_alive(holder, file, has_locks=has_locks):
                raise _refusal(path, holder)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(own_identity()).encode(), 0)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(file)
            raise
        return file


def _lock(file: int, path: Path) -> bool:
    """Take the kernel's lock; return whether the file system has any."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(path, read_identity(file)) from None
    except OSError:
        return False
    return True


def _is_the_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:  # it was removed, or the file system is gone
        return False


def _refusal(path: Path, holder: Mapping[str, Any]) -> ConfigError:
    who = "{pid} on {machine}, started {started}".format(**holder) if holder else "of unknown number"
    return ConfigError(
        f"work_dir: another training is running in {path.parent}: process {who}. Two would replace each other's "
        f"checkpoints. Give this one a folder of its own (--work-dir), or end the other one first; if it is surely "
        f"dead, remove {path}."
    )


def _is_alive(holder: Mapping[str, Any], file: int, *, has_locks: bool) -> bool:
    """Return whether a process that has left its name in the file runs, though the kernel let this one lock it."""
    if is_here(holder):  # with locks it is dead, or its lock would be there
        return not has_locks and runs_here(holder)
    before = os.fstat(file).st_mtime_ns
    seconds = 3 * SIGN_OF_LIFE
    _log.warning(
        "work_dir: a training of process %s on %s, started %s, has its lock here; waiting %.0f s for a sign of life.",
        holder["pid"],
        holder["machine"],
        holder["started"],
        seconds,
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, SIGN_OF_LIFE))
        if os.fstat(file).st_mtime_ns != before:
            return True
    return False


def _give_signs_of_life(file: int, ended: threading.Event) -> None:
    while not ended.wait(SIGN_OF_LIFE):
        with contextlib.suppress(OSError):
            os.utime(file)


def _release(file: int, path: Path, ended: threading.Event) -> None:
    ended.set()
    # Where it cannot be removed, on a disk that has become read-only, its contents say that the process is gone.
    with contextlib.suppress(OSError):
        if _is_the_file(file, path):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.close(file)


def _close_in_child(lock: RunLock | None, file: int) -> None:
    """Let go what a fork has inherited, so that the lock ends with the training and not with its last worker.

    Once: in a fork of the fork the descriptor is that of another file.
    """
    if lock is not None and lock.release.detach() is not None:
        os.close(file)
