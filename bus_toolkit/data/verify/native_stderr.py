"""Catch the standard error of compiled libraries: libjpeg reports a damaged picture there and nowhere else."""

from __future__ import annotations

import os
import sys
import tempfile
from types import TracebackType


class NativeStderr:
    """Catch all that this process writes to file descriptor 2 while it is entered; ``text`` holds it afterwards."""

    def __init__(self) -> None:
        self.text = ""
        self._file = tempfile.TemporaryFile()

    def __enter__(self) -> NativeStderr:
        """Turn the descriptor to a file."""
        sys.stderr.flush()
        self._saved = os.dup(2)
        self._file.seek(0)
        self._file.truncate()
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn it back, and read."""
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._file.seek(0)
        self.text = self._file.read().decode("utf-8", "replace")
