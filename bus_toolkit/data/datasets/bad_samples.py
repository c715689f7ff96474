"""Samples that cannot be read are skipped, counted and logged, up to a limit."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import torch

from bus_toolkit.errors import DataError
from bus_toolkit.safe_text import one_line

_log = logging.getLogger(__name__)

# Our loaders raise OSError, mmcv's any of these, for an image that is missing, unreadable or does not fit its boxes;
# AssertionError is mmcv's "failed to load image".
READ_ERRORS = (OSError, AssertionError, cv2.error)


class BadSample(Exception):
    """One sample cannot be used.

    Attributes:
        path: The image, or the annotation file and the entry in it.
        reason: What is wrong.
    """

    def __init__(self, path: str, reason: str) -> None:
        # Both go to Exception, which pickles them: samples are read in worker processes.
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        """Render it as one line."""
        return one_line(f"{self.path}: {self.reason}")


class LoadingError(DataError):
    """A user's mistake that a data set or a batch reports while a data loader reads.

    A data loader re-raises an error of its worker with the traceback in the message; only the user's part stays.
    """

    def __init__(self, message: str) -> None:
        # torch builds the error of a worker from one string, its traceback with our message at the end, so the text
        # is all that arrives here.
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


class TooManyBadSamples(LoadingError):
    """The limit of bad samples is exceeded."""


class BadSampleCounter:
    """Count the samples that were skipped, each once however often it is met; workers of a data loader share the count.

    The processes of a training share theirs at each checkpoint, which keeps it (``RunStateHook``).

    Args:
        size: Number of samples of the data set.
        limit: So many may be skipped; 0 stops at the first.
        name: What to call the data set in messages.

    Raises:
        DataError: A negative limit.
    """

    def __init__(self, size: int, limit: int, name: str) -> None:
        if limit < 0:
            raise DataError(f"{name}.max_bad_samples: must be 0 or more, got {limit}.")
        self.limit = limit
        self.name = name
        self._is_bad = torch.zeros(size, dtype=torch.bool).share_memory_()
        self._recent: list[str] = []

    @property
    def count(self) -> int:
        """Number of bad samples so far, over all workers."""
        return int(self._is_bad.sum())

    @property
    def size(self) -> int:
        """Number of samples of the data set."""
        return len(self._is_bad)

    @property
    def rows(self) -> list[int]:
        """The bad samples so far, over all workers."""
        return self._is_bad.nonzero().flatten().tolist()

    def mark(self, rows: Sequence[int]) -> None:
        """Count bad samples that a run met before it was resumed."""
        self._is_bad[list(rows)] = True

    def share(self, rows: Sequence[int]) -> None:
        """Count bad samples that other processes have met.

        Raises:
            TooManyBadSamples: The limit is exceeded by all together.
        """
        self.mark(rows)
        if self.count > self.limit:
            raise TooManyBadSamples(
                f"{self.name}: {self.count} bad samples in all processes together, the limit is {self.limit}. The "
                "warnings of the log name them. Repair or remove them, or raise max_bad_samples."
            )

    def add(self, index: int, error: BadSample) -> None:
        """Count and log a bad sample that was not met before.

        Raises:
            TooManyBadSamples: The limit is exceeded; the message names the last ones that this process met.
        """
        if self._is_bad[index]:
            return
        self._is_bad[index] = True
        line = str(error).rstrip(".")  # it is a part of longer sentences
        # An image with several captions is met several times; it is named once.
        self._recent = [*(old for old in self._recent if old != line), line][-3:]
        if self.count > self.limit:
            raise TooManyBadSamples(
                f"{self.name}: {self.count} bad samples, the limit is {self.limit}; the last ones: "
                f"{'; '.join(self._recent)}. Repair or remove them, or raise max_bad_samples."
            ) from error
        _log.warning("%s: skipped a bad sample (%d of at most %d): %s", self.name, self.count, self.limit, line)

    def nothing_left(self) -> TooManyBadSamples:
        """Return the error for a data set in which every sample is bad."""
        return TooManyBadSamples(
            f"{self.name}: every sample is bad; the last ones: {'; '.join(self._recent)}. Repair the data."
        )
