"""Values that a class of the Runner refuses when it is built: one line with the YAML path."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bus_toolkit.errors import BusError, ConfigError, DataError, Problem, TrainingError


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
    """Report that the lock, logs or the config can be written no more; libraries write some, each in its own way.

    Raises:
        TrainingError: In place of an ``OSError`` that says so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise TrainingError(
            f"{error.filename or work_dir}: cannot be written any more: {error.strerror}. The checkpoints of the run "
            "are whole. Make room, then go on with --resume."
        ) from error


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
