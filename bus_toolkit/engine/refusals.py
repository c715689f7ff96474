"""Values that a class of the Runner refuses when it is built: one line with the YAML path."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bus_toolkit.errors import BusError, ConfigError, DataError, Problem, TrainingError

_SHARED = "/dev/shm"  # through which workers pass batches
_FULL = 1 << 16  # bytes


@contextmanager
def refusals_at(path: str) -> Iterator[None]:
    """Turn what is refused meanwhile into an error about the node at ``path``.

    Hooks, optimizers, schedules and loaders refuse values by a ``ValueError``, OpenMMLab's also by an assertion.
    Anything else is a mistake in their code and keeps its traceback.

    Raises:
        ConfigError: A value was refused.
    """
    try:
        yield
    except BusError:
        raise
    except (ValueError, AssertionError) as error:
        raise ConfigError(Problem(path, f"refuses its values: {str(error) or repr(error)}. Correct them.")) from error


@contextmanager
def data_errors_at(path: str) -> Iterator[None]:
    """Let errors about data start with the YAML path ``path`` of their loader.

    Raises:
        DataError: The data cannot be used.
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def full_disk_reported(work_dir: str) -> Iterator[None]:
    """Report that nothing can be written any more: lock, config, logs; libraries write some, each in its own way.

    Their errors seldom say where. A full folder of temporary files or shared memory, which loaders with workers need,
    is named in place of the work dir.

    Raises:
        TrainingError: In place of an ``OSError`` that says so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
            raise
        place = next((one for one in (work_dir, tempfile.gettempdir(), _SHARED) if _is_full(one)), work_dir)
        raise TrainingError(
            f"{error.filename or place}: cannot be written any more: {error.strerror}. The checkpoints of the run are "
            "whole. Make room, then go on with --resume."
        ) from error


def _is_full(folder: str) -> bool:
    try:
        return shutil.disk_usage(folder).free < _FULL
    except OSError:
        return False


@contextmanager
def unwritable_reported(path: str) -> Iterator[None]:
    """Report a checkpoint that cannot be written: the disk is full, gone or read-only.

    Raises:
        TrainingError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written: {error.strerror or error}. The checkpoints before it are whole. Make room "
            "there (default_hooks.checkpoint.max_keep_ckpts keeps fewer), then go on with --resume."
        ) from error
