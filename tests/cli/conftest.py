"""A whole command line in this process: a new one would import the libraries again, for seconds."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from bus_toolkit.cli.main import main
from bus_toolkit.cli.run import run_cli

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """Return a function that runs ``bus-toolkit`` with words and returns exit code, output and errors."""
    logger = logging.getLogger("bus_toolkit")
    handlers, level = list(logger.handlers), logger.level

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bus-toolkit", *words])
        with pytest.raises(SystemExit) as caught:
            run_cli(main)
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    yield run
    logger.handlers[:] = handlers
    logger.setLevel(level)
