"""A file with a line for each verdict of an evaluation: JSON lines, compressed or not."""

from __future__ import annotations

import gzip
import io
import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.report import finite
from bus_toolkit.json_text import dump_json
from bus_toolkit.writing import put_in_place, temporary_name, writing

_SUFFIXES = (".jsonl", ".jsonl.gz")


def checked_sample_path(path: str | Path, flag: str) -> Path:
    """Return the path of a file for verdicts.

    Raises:
        ConfigError: Its name does not end in ``.jsonl`` or ``.jsonl.gz``.
    """
    if not str(path).endswith(_SUFFIXES):
        raise ConfigError(
            f"{flag}: the verdicts are written as JSON lines, got {path}. Give a name that ends in .jsonl, or in "
            ".jsonl.gz to compress them."
        )
    return Path(path)


class SampleFile:
    """JSON lines that appear under their name whole or not at all; the same lines give the same bytes.

    The file is made by the first ``write``, so that an object of which only one process writes can be made by all.

    Args:
        path: Ends in ``.jsonl``, or in ``.jsonl.gz`` to be compressed.
        flag: The setting that names it, for messages.

    Raises:
        ConfigError: Another ending.
    """

    def __init__(self, path: str | Path, flag: str = "--samples") -> None:
        self.path, self.flag = checked_sample_path(path, flag), flag
        self.num_lines = 0
        self._temporary = temporary_name(self.path)
        self._stack = ExitStack()
        self._text: TextIO | None = None

    def write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines, each as soon as it is given; JSON has no NaN and no infinity, they become ``null``."""
        with writing(self.path, self.flag):
            text = self._opened()
        for line in lines:
            written = dump_json(finite(line), default=_plain) + "\n"
            with writing(self.path, self.flag):
                text.write(written)
            self.num_lines += 1

    def close(self) -> None:
        """Let the file appear, in place of one of that name; without a ``write`` there is none."""
        if self._text is None:
            return
        with writing(self.path, self.flag):
            self._stack.close()
            put_in_place(self._temporary, self.path)
        self._text = None

    def _opened(self) -> TextIO:
        if self._text is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            raw = self._stack.enter_context(self._temporary.open("wb"))
            # An evaluation that fails leaves no file: this runs when the object is gone, or the process ends.
            weakref.finalize(self, self._temporary.unlink, missing_ok=True)
            stream: Any = raw
            if self.path.suffix == ".gz":  # without name and time, which gzip would write into the file
                stream = self._stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
            self._stack.callback(text.detach)
            self._text = text
        return self._text


def _plain(value: Any) -> Any:
    """Return a number or an array of NumPy or torch as plain numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
